// Package pki makes and checks the certificates of a mesh: a small authority in a directory, one certificate per node,
// and the TLS configurations that only accept nodes of the same mesh.
//
// Who a node is stands in one URI of its certificate, spiffe://MESH/region/R/node/N/role/ROLE; DNS names and addresses
// play no part. Revoked serial numbers stand in a deny-list file that is checked at every handshake. All files are read
// again when they change. Private keys and lists are written with mode 0600.
//
// The package does not spread deny lists and does not renew certificates by itself.
package pki
