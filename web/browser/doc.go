// Package browser drives a node's page in a real, headless Chromium, as its reader would: with a mouse, a keyboard and a
// phone's width. It is a module of its own, so that meshd does not depend on the driver.
package browser
