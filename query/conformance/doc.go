// Package conformance runs Prometheus' own tests of PromQL over our storage. It is a module of its own, because what these tests
// need beside the engine is five times what meshd needs.
package conformance
