package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"freshet/cluster"
	"freshet/cluster/agree"
)

// A standing is what a relay says of itself and of the cluster, on its admin listener.
type standing struct {
	t          testing.TB
	name       string
	url, admin string
}

var adminTransport = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// ask reads JSON; false: the relay has no answer.
func (s standing) ask(path string, answer any) bool {
	res, err := adminTransport.Get(s.admin + path)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK && json.NewDecoder(res.Body).Decode(answer) == nil
}

// members are the relays it sees, by state; those are not counted that it has no link to.
func (s standing) members() map[string]int {
	var status cluster.Status
	s.ask("/cluster", &status)
	count := map[string]int{}
	for _, m := range status.Members {
		if m.Name == s.name || m.Link != nil {
			count[m.State]++
		}
	}
	return count
}

func (s standing) awaitMembers(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s sees %d relays", s.name, n), func() (string, bool) {
		seen := s.members()
		return fmt.Sprint(seen), seen["ready"] == n && len(seen) == 1
	})
}

func (s standing) topic(name string) (status cluster.TopicStatus, ok bool) {
	ok = s.ask("/cluster/topics/"+name, &status)
	return status, ok
}

// counts are the topics of which it is something.
func (s standing) counts() agree.Counts {
	var status cluster.Status
	s.ask("/cluster", &status)
	return status.Topics
}

// count sums a metric over those of its series that have all these labels, written name="value".
func (s standing) count(metric string, labels ...string) (sum float64) {
	res, err := adminTransport.Get(s.admin + "/metrics")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
next:
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), metric)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(rest, label) {
				continue next
			}
		}
		value, _ := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		sum += value
	}
	return sum
}

// changes counts how often the standing of topics changed at this relay, for a reason.
func (s standing) changes(reason string) float64 {
	return s.count("freshet_cluster_ownership_changes_total", fmt.Sprintf("reason=%q", reason))
}

// awaitOwner waits until one of the relays, and only one, says that it owns the topic and has a standby.
func awaitOwner(t testing.TB, topic string, among []standing) (owner, standby string) {
	t.Helper()
	eventually(t, "one owner of "+topic, func() (string, bool) {
		owners := 0
		said := ""
		for _, s := range among {
			status, ok := s.topic(topic)
			said += fmt.Sprintf(" %s: %s, standby %q;", s.name, status.Role, status.Standby)
			if ok && status.Role == "owner" {
				owners++
				owner, standby = s.name, status.Standby
			}
		}
		return said, owners == 1 && standby != ""
	})
	return owner, standby
}

// eventually waits until something is so; it also says how it is.
func eventually(t testing.TB, what string, ok func() (string, bool)) {
	t.Helper()
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > time.Second {
			t.Logf("%s after %v", what, took)
		}
	}()
	deadline := began.Add(patience)
	for {
		said, done := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s; it is %s", patience, what, said)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
