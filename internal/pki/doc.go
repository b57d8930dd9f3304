// Package pki makes and checks the certificates of a mesh: a small authority in a directory, one certificate per node,
// and the TLS configurations that only accept nodes of the same mesh.
//
// Who a node is stands in one URI of its certificate, spiffe://MESH/region/R/node/N/role/ROLE; DNS names and addresses
// play no part. Revocations are signed by the authority that issued the certificate, so that anybody may carry them and
// nobody can make them up; they are checked at every handshake, and a node keeps those it hears of in a file of its own.
// All files are read again when they change. Private keys and lists are written with mode 0600.
//
// The package does not carry revocations between nodes and does not renew certificates by itself.
package pki
