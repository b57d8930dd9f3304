// Package clients tests the doors of package ingest with clients that others wrote: OpenTelemetry's Go SDK and DogStatsD's
// client. It is a module of its own, so that what they import is no dependency of meshd.
package clients
