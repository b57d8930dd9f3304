package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
)

// The deny list is a text file: one serial number a line in lower-case hexadecimal, '#' starts a comment.

// Revoke adds a certificate to the deny list in dir and returns its serial number. The certificate is given as the path
// of its file or as its serial number. Nodes that read this list refuse it at the next handshake.
func Revoke(dir, certOrSerial string) (serial string, err error) {
	serial, err = serialOf(certOrSerial)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, DenyFile)
	denied, err := readDenied(path)
	if err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	denied[serial] = true
	text := "# revoked certificates, one serial number a line\n" +
		strings.Join(slices.Sorted(maps.Keys(denied)), "\n") + "\n"
	return serial, writeFile(path, []byte(text))
}

func serialOf(certOrSerial string) (string, error) {
	if n, ok := new(big.Int).SetString(certOrSerial, 16); ok && n.Sign() > 0 {
		return n.Text(16), nil
	}
	certs, err := readCerts(certOrSerial)
	if err != nil {
		return "", fmt.Errorf("pki: %w: give a certificate's file or its serial number in hexadecimal", err)
	}
	return certs[0].SerialNumber.Text(16), nil
}

// readDenied returns the serials of the list; a missing file is an empty one. A line that is no serial is an error: a
// list with a typing mistake would otherwise let a revoked node in.
func readDenied(path string) (map[string]bool, error) {
	denied := make(map[string]bool)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return denied, nil
	}
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		n, ok := new(big.Int).SetString(line, 16)
		if !ok {
			return nil, fmt.Errorf("%s, line %d: not a serial number in hexadecimal", path, i+1)
		}
		denied[n.Text(16)] = true
	}
	return denied, nil
}
