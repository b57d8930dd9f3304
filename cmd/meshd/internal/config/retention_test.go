package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshd/history"
)

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	for _, tc := range []struct {
		args    string
		all     history.Retention
		rules   []history.Rule
		wantErr string
	}{
		{args: defaultRetention, all: history.Retention{Fine: 7 * day, Minute: 30 * day, Hour: 366 * day}},
		{args: "36h//", all: history.Retention{Fine: 36 * time.Hour}},
		{
			args: "1d/2d/3d,host.*=2d//,a=b=/90d/", all: history.Retention{Fine: day, Minute: 2 * day, Hour: 3 * day},
			rules: []history.Rule{{Match: "host.*", Retention: history.Retention{Fine: 2 * day}}, {Match: "a=b", Retention: history.Retention{Minute: 90 * day}}},
		},
		{args: "7d", wantErr: "as 7d/30d/366d"},
		{args: "7d/1y/1y", wantErr: `"1y": must be a time`},
		{args: "1m//", wantErr: "at least 1h"},
		{args: "99999d//", wantErr: "must be a time"},
		{args: "1d//,2d//", wantErr: "have one already"},
		{args: "a}=1d//", wantErr: "closes a '}'"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			c, err := Load([]string{"--node", "n", "--retention", tc.args}, nil)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			all, rules, err := c.Kept()
			if diff := cmp.Diff(tc.all, all); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
			if diff := cmp.Diff(tc.rules, rules); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	for _, tc := range []struct{ window, wantErr string }{
		{"1s", ""},
		{"10s", ""},
		{"30s", ""},
		{"7s", "divide a minute"},
		{"500ms", "divide a minute"},
		{"60s", "divide a minute"},
		{"1500ms", "divide a minute"},
		{"0", "divide a minute"},
	} {
		_, err := Load([]string{"--node", "n", "--window", tc.window}, nil)
		if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
			t.Errorf("%s: got %v, want %q", tc.window, err, tc.wantErr)
		}
	}
}
