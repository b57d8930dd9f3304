// Package buffer is the disk of a node: an ordered map from opaque keys to opaque bytes, kept by Badger.
//
// It owns three things that Badger leaves open. A Commit is atomic and synced whatever its size: what does not fit
// one Badger transaction goes through a journal (journal.go). Writes are refused well before the disk is full,
// because Badger maps its files and a full disk kills the process with SIGBUS (space.go). And a directory belongs to
// one mesh, region and node, so that staging cannot be started on production's data (identity.go).
//
// It knows no cell, frame or origin, and does not promise that bytes survive a disk that lies about fsync. Beside
// Badger's goroutines it has one of its own, which keeps table files out of resident memory until Close (resident.go).
// A Store is safe for concurrent use. Package node sees it through a small interface of its own; nothing else writes to
// a data directory.
package buffer
