package gossip

import "encoding/json"

type preface struct {
	Version, MinVersion      uint8
	Mesh, Region, Node, Role string
	Inc, Nonce               [16]byte
	Bulk                     bool
	WallMs                   int64
	Advertise, HTTP          string
}

type refusal struct {
	Code uint16
	Text string
}

type hubs struct{ Hubs []hub }

type hub struct {
	Region, Node, Addr string
	Inc                [16]byte
}

const maxPrefaceBytes = 32 << 10

func appendPreface(dst []byte, p *preface) ([]byte, error) {
	b, err := json.Marshal(p)
	return append(dst, b...), err
}
func appendRefusal(dst []byte, p *refusal) ([]byte, error) {
	b, err := json.Marshal(p)
	return append(dst, b...), err
}
func appendHubs(dst []byte, p *hubs) ([]byte, error) {
	b, err := json.Marshal(p)
	return append(dst, b...), err
}
func parsePreface(b []byte) (*preface, error) { p := new(preface); return p, json.Unmarshal(b, p) }
func parseRefusal(b []byte) (*refusal, error) { p := new(refusal); return p, json.Unmarshal(b, p) }
func parseHubs(b []byte) (*hubs, error)       { p := new(hubs); return p, json.Unmarshal(b, p) }
