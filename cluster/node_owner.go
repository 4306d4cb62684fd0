package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"freshet/cluster/agree"
)

// TopicAnywhere describes a topic as Topic does, and asks its owner for what only that knows. It is for operators: an
// owner that cannot be reached leaves what is known here. ok is false if nothing is known here, and nobody owns it.
func (n *Node) TopicAnywhere(ctx context.Context, topic string) (s TopicStatus, ok bool, err error) {
	here, known, err := n.Topic(ctx, topic)
	if err != nil {
		return TopicStatus{}, false, err
	}
	if known && owns(here.Role) {
		return here, true, nil
	}
	there, found := n.askOwner(ctx, topic, here.Owner)
	switch {
	case !found:
		here.OwnerLost = here.Owner != "" && !slices.ContainsFunc(n.members.Alive(), func(m Member) bool { return m.Name == here.Owner })
		return here, known && here.Owner != "", nil
	case !known || here.Owner == "": // it was heard of, and is not held
		there.OwnerHead, there.Role, there.Parent = there.Head, "none", ""
		return there, true, nil
	}
	here.Owner, here.Standby, here.Alone, here.OwnerHead, here.Tail = there.Owner, there.Standby, there.Alone, there.Head, there.Tail
	here.Ended = there.Ended
	return here, true, nil
}

func owns(role string) bool { return role == "owner" || role == "sealed" }

const (
	askPatience = time.Second // for one relay's answer
	askMost     = 4           // relays are asked about a topic before it is taken for unknown
)

// askOwner looks for a topic's owner: at the one that is thought to be it, then where it should be, then where those who were asked
// say.
func (n *Node) askOwner(ctx context.Context, topic, hint string) (TopicStatus, bool) {
	alive := map[string]Member{}
	var view []agree.Member
	for _, m := range n.members.Alive() {
		alive[m.Name] = m
		view = append(view, m.Member)
	}
	names := []string{hint}
	for _, m := range agree.Order(topic, view) {
		names = append(names, m.Name)
	}
	var asked []string
	for i := 0; i < len(names) && len(asked) < askMost; i++ {
		m, here := alive[names[i]]
		if !here || m.Name == n.Name || slices.Contains(asked, m.Name) {
			continue
		}
		asked = append(asked, m.Name)
		s, err := n.links.ask(ctx, m, topic)
		switch {
		case err != nil:
			n.Log.Debug("ask about a topic", "topic", topic, "peer", m.Name, "error", err)
		case owns(s.Role):
			return s, true
		case s.Owner != "":
			names = slices.Insert(names, i+1, s.Owner)
		}
	}
	return TopicStatus{}, false
}

// aboutPath is below a links listener: what that relay knows of a topic. Who may link may ask.
const aboutPath = "/topics/"

// ask asks a relay what it knows of a topic.
func (ls *Links) ask(ctx context.Context, m Member, topic string) (s TopicStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	transport, scheme := ls.transport(ctx, m.Name)
	defer transport.CloseIdleConnections()
	u := url.URL{Scheme: scheme, Host: m.Link, Path: aboutPath + topic}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return s, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("status %d", resp.StatusCode)
	}
	return s, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&s)
}

// tell answers ask.
func (ls *Links) tell(w http.ResponseWriter, r *http.Request, topic string) {
	ctx, cancel := context.WithTimeout(r.Context(), askPatience)
	defer cancel()
	s, ok, err := ls.about(ctx, topic)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s) // an error is the asker's going away
	}
}
