package gossip

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// Serf's packets travel beside QUIC's on the same socket and are sealed with keys that both ends of an authenticated
// connection export from its TLS session (RFC 8446, section 7.5). A node that was never let in cannot forge, read or
// replay one (docs/adr/0002). The keys outlive their connection: failure detection must work when it is gone.
//
//	byte 0        0x01: the first two bits are 0, as no QUIC packet's are
//	bytes 1..8    key number, from the exporter
//	bytes 9..16   packet counter of this key and direction, big endian, from 1
//	rest          AES-256-GCM of the packet, 16 bytes longer; the 17 bytes before are authenticated with it
const (
	sealByte   = 0x01
	sealHeader = 17
	sealTag    = 16

	exporterLabel = "EXPORTER-meshd-serf-packets"
	exporterBytes = 8 + 32 + 32 // key number, dialer's key, accepting side's key

	// keysPerPeer are kept for opening: sessions replace each other while packets are under way.
	keysPerPeer = 4
	// maxKeyPeers bounds the processes with keys; the one whose last key is oldest goes first.
	maxKeyPeers = 2 * maxTargets
)

// Reasons for not opening a packet.
var (
	errNotSealed  = errors.New("not a sealed packet")
	errNoKey      = errors.New("no key: no connection with that node yet, or one from before a restart")
	errForged     = errors.New("seal is broken")
	errReplayed   = errors.New("replayed")
	errSealBuffer = errors.New("packet too short")
)

// pairKey seals packets to one process and opens packets from it.
type pairKey struct {
	number  [8]byte
	seals   cipher.AEAD
	opens   cipher.AEAD
	counter atomic.Uint64

	chain  []*x509.Certificate // of the other end, nil without certificates
	dialed bool

	mu     sync.Mutex
	newest uint64 // highest counter opened
	window uint64 // bit i: newest-i was opened
}

// keyring holds the keys by number, by Serf member and by the address last seen.
type keyring struct {
	mu       sync.Mutex
	byNumber map[[8]byte]*pairKey
	byMember map[string][]*pairKey // newest last
	byAddr   map[string]string     // address -> member
	order    []string              // members, oldest key first
}

func newKeyring() *keyring {
	return &keyring{
		byNumber: make(map[[8]byte]*pairKey), byMember: make(map[string][]*pairKey), byAddr: make(map[string]string),
	}
}

// install takes the keys of an authenticated connection to a process that takes part in Serf; a second call for one
// connection changes nothing. Only a hub is believed where it says it can be reached: an edge could name a hub's address.
func (k *keyring) install(conn *quic.Conn, peer *preface, dialed bool) {
	state := conn.ConnectionState().TLS
	secret, err := state.ExportKeyingMaterial(exporterLabel, nil, exporterBytes)
	if err != nil {
		return // never with TLS 1.3; without a key Serf falls back to streams
	}
	mine, theirs := secret[8:40], secret[40:72]
	if !dialed {
		mine, theirs = theirs, mine
	}
	p := &pairKey{number: [8]byte(secret[:8]), seals: newGCM(mine), opens: newGCM(theirs), chain: state.PeerCertificates, dialed: dialed}
	addrs := []string{addrString(conn.RemoteAddr())}
	if Role(peer.Role) == Hub {
		addrs = append(addrs, peerAddr(conn, peer))
	}
	k.add(identityOf(peer).member(), addrs, p)
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size of GCM
	}
	return aead
}

func (k *keyring) add(member string, addrs []string, p *pairKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byNumber[p.number] != nil {
		return
	}
	for _, addr := range addrs {
		k.byAddr[addr] = member
	}
	keys := append(k.byMember[member], p)
	if len(keys) > keysPerPeer {
		delete(k.byNumber, keys[0].number)
		keys = keys[1:]
	}
	k.byMember[member], k.byNumber[p.number] = keys, p
	if i := slices.Index(k.order, member); i >= 0 {
		k.order = slices.Delete(k.order, i, i+1)
	}
	k.order = append(k.order, member)
	if len(k.order) > maxKeyPeers {
		k.forget(k.order[0])
		k.order = k.order[1:]
	}
}

func (k *keyring) forget(member string) {
	for _, p := range k.byMember[member] {
		delete(k.byNumber, p.number)
	}
	delete(k.byMember, member)
	for addr, m := range k.byAddr {
		if m == member {
			delete(k.byAddr, addr)
		}
	}
}

// prune forgets the keys whose other end is not trusted any more.
func (k *keyring) prune(trusted func(chain []*x509.Certificate, dialed bool) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for member, keys := range k.byMember {
		keys = slices.DeleteFunc(slices.Clone(keys), func(p *pairKey) bool {
			bad := !trusted(p.chain, p.dialed)
			if bad {
				delete(k.byNumber, p.number)
			}
			return bad
		})
		k.byMember[member] = keys
		if len(keys) == 0 {
			k.forget(member)
			k.order = slices.DeleteFunc(k.order, func(m string) bool { return m == member })
		}
	}
}

// to finds the newest key for a member, or for whoever is at addr when memberlist knows no name.
func (k *keyring) to(member, addr string) *pairKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if member == "" {
		member = k.byAddr[addr]
	}
	keys := k.byMember[member]
	if len(keys) == 0 {
		return nil
	}
	return keys[len(keys)-1]
}

// seal returns the sealed packet, nil without a key.
func (k *keyring) seal(packet []byte, member, addr string) []byte {
	p := k.to(member, addr)
	if p == nil {
		return nil
	}
	out := make([]byte, sealHeader, sealHeader+len(packet)+sealTag)
	out[0] = sealByte
	copy(out[1:9], p.number[:])
	n := p.counter.Add(1)
	binary.BigEndian.PutUint64(out[9:], n)
	return p.seals.Seal(out, nonce(n), packet, out[:sealHeader])
}

// open returns the packet inside a sealed one, in memory of its own.
func (k *keyring) open(sealed []byte) ([]byte, error) {
	if len(sealed) < sealHeader+sealTag {
		return nil, errSealBuffer
	}
	if sealed[0] != sealByte {
		return nil, errNotSealed
	}
	k.mu.Lock()
	p := k.byNumber[[8]byte(sealed[1:9])]
	k.mu.Unlock()
	if p == nil {
		return nil, errNoKey
	}
	n := binary.BigEndian.Uint64(sealed[9:])
	packet, err := p.opens.Open(nil, nonce(n), sealed[sealHeader:], sealed[:sealHeader])
	if err != nil {
		return nil, errForged
	}
	if !p.first(n) {
		return nil, errReplayed
	}
	return packet, nil
}

// first reports whether counter n is new: above all others, or within the last 64 and not seen.
func (p *pairKey) first(n uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > p.newest {
		p.window = p.window<<min(n-p.newest, 64) | 1
		p.newest = n
		return true
	}
	back := p.newest - n
	if back >= 64 || p.window&(1<<back) != 0 {
		return false
	}
	p.window |= 1 << back
	return true
}

func nonce(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), n)
}

// addrString gives an address the spelling of canonical.
func addrString(a net.Addr) string {
	s := a.String()
	if c, err := canonical(s); err == nil {
		return c
	}
	return s
}
