package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"meshd/cmd/meshd/internal/cluster"
)

// resident is the memory of a process that is in RAM, in MiB. Where the system does not tell anonymous memory from
// mapped files, both are 0.
type resident struct {
	RSS  float64 `json:"rss_mib"`
	Anon float64 `json:"anon_mib"`
	File float64 `json:"file_mib"`
	Peak float64 `json:"peak_mib"`
}

// residentOf reads the memory of a process from Linux' /proc, elsewhere from ps.
func residentOf(pid int) (resident, error) {
	var r resident
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
		if err != nil {
			return r, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		kb, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		r.RSS = kb / 1024
		return r, err
	}
	for name, to := range map[string]*float64{"VmRSS:": &r.RSS, "RssAnon:": &r.Anon, "RssFile:": &r.File, "VmHWM:": &r.Peak} {
		_, rest, _ := strings.Cut(string(b), name)
		kb, err := strconv.ParseFloat(strings.Fields(rest + " x")[0], 64)
		if err != nil {
			return r, fmt.Errorf("memory of process %d: no %s", pid, name)
		}
		*to = round(kb/1024, 1)
	}
	return r, nil
}

// pid is the process of a node.
func (m *mesh) pid(name string) int {
	for _, s := range m.Status() {
		if s.Name == name {
			return s.PID
		}
	}
	return 0
}

// metrics reads those of a node's own metrics that are one number, by name and labels as they are written.
func (m *mesh) metrics(ctx context.Context, n cluster.Node) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := make(map[string]float64)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	return out, lines.Err()
}
