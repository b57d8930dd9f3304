package query

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"meshd/internal/mutant"
)

// login is a name and the bcrypt hash of its password.
type login struct {
	name [sha256.Size]byte // hashed, so that comparing it tells nothing
	hash []byte
}

// maxLoginCost bounds what one attempt costs: 14 takes about a second.
const maxLoginCost = 14

// parseLogin reads NAME:HASH, as htpasswd -B writes it; nil if a word is not one.
func parseLogin(word string) (*login, error) {
	name, hash, ok := strings.Cut(word, ":$2")
	if !ok {
		return nil, nil
	}
	l := &login{name: sha256.Sum256([]byte(name)), hash: []byte("$2" + hash)}
	cost, err := bcrypt.Cost(l.hash)
	switch {
	case name == "":
		return nil, errors.New("a login without a name")
	case err != nil:
		return nil, fmt.Errorf("login %q: %w: write it with htpasswd -B", clip(name), err)
	case cost > maxLoginCost:
		return nil, fmt.Errorf("login %q: the hash has cost %d, want at most %d", clip(name), cost, maxLoginCost)
	}
	return l, nil
}

// passedLogins remembers logins that were right, since bcrypt is slow on purpose and a client logs in with every request. A
// wrong one takes a turn of bcrypt each time, one after the other: guessing costs one processor at most.
type passedLogins struct {
	turn sync.Mutex

	mu    sync.Mutex
	right map[[sha256.Size]byte]bool // of hash, name and password
}

// maxPassedLogins bounds them; beyond it all are forgotten.
const maxPassedLogins = 1_000

// loginRoles returns what a name with this password may do, 0 if there is none. A name that nobody has is compared with
// somebody's password all the same, so that it takes as long.
func (t *tokenFile) loginRoles(name, password string) (roles Role) {
	given := sha256.Sum256([]byte(name))
	var hash []byte
	for _, one := range t.current() {
		if one.login == nil {
			continue
		}
		known := subtle.ConstantTimeCompare(one.login.name[:], given[:]) == 1
		if known || hash == nil {
			hash = one.login.hash
		}
		if known {
			roles = one.roles
		}
	}
	if hash == nil || !t.passed.check(hash, name, password) {
		return 0
	}
	return roles
}

// check reports whether password is the one of hash.
func (p *passedLogins) check(hash []byte, name, password string) bool {
	sum := sha256.New()
	for _, part := range []string{string(hash), name, password} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	key := [sha256.Size]byte(sum.Sum(nil))
	if mutant.On("logins known by name alone") {
		key = sha256.Sum256([]byte(name))
	}
	p.mu.Lock()
	right := p.right[key]
	p.mu.Unlock()
	if right {
		return true
	}
	p.turn.Lock()
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	p.turn.Unlock()
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.right == nil || len(p.right) >= maxPassedLogins {
		p.right = make(map[[sha256.Size]byte]bool)
	}
	p.right[key] = true
	return true
}
