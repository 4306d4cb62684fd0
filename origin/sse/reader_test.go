package sse

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		src  io.Reader
		want string
		err  error
	}{
		{"ends", strings.NewReader("data: 1\n\ndata: 2\n\n"), "1 2", io.EOF},
		{"a byte at a time", iotest.OneByteReader(strings.NewReader("data: 1\n\ndata: 2\n\n")), "1 2", io.EOF},
		{"data with the end", iotest.DataErrReader(strings.NewReader("data: 1\n\ndata: 2\n\n")), "1 2", io.EOF},
		{"ends inside a block", strings.NewReader("data: 1\n\ndata: 2\n"), "1", io.ErrUnexpectedEOF},
		{"breaks", io.MultiReader(strings.NewReader("data: 1\n\ndata: 2\n"), iotest.ErrReader(broken)), "1", broken},
		{"empty", strings.NewReader(""), "", io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewReader(c.src)
			var got []string
			var err error
			for ev := (Event{}); err == nil; {
				if err = r.Read(&ev); err == nil {
					got = append(got, string(ev.Data))
				}
			}
			if strings.Join(got, " ") != c.want || err != c.err {
				t.Errorf("%q, then %v", got, err)
			}
			if again := r.Read(new(Event)); again != c.err {
				t.Errorf("after the end: %v", again)
			}
		})
	}
}

func TestReaderLimit(t *testing.T) {
	r := NewReader(strings.NewReader("data: 1\n\ndata: 12345\n\n"))
	r.MaxEvent = 4
	var got []string
	var limit *LimitError
	for ev, err := range r.All() {
		if err != nil {
			errors.As(err, &limit)
			continue
		}
		got = append(got, string(ev.Data))
	}
	if len(got) != 1 || limit == nil || limit.Error() != "sse: event larger than 4 bytes (MaxEvent)" {
		t.Errorf("%q, then %v", got, limit)
	}
}

func ExampleReader_All() {
	stream := strings.NewReader("id: 1\nevent: goal\ndata: 1:0\n\nid: 2\ndata: half-time\n\n")
	for ev, err := range NewReader(stream).All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %q %s\n", ev.ID, ev.Type, ev.Data)
	}
	// Output:
	// 1 "goal" 1:0
	// 2 "" half-time
}

func ExampleEvent_Append() {
	b, err := Event{ID: "7", Type: "goal", Data: []byte("1:0\nMiller")}.Append(nil)
	fmt.Printf("%s%v\n", b, err)
	_, err = Event{ID: "7\ndata: forged"}.Append(nil)
	fmt.Println(err)
	// Output:
	// event: goal
	// data: 1:0
	// data: Miller
	// id: 7
	//
	// <nil>
	// sse: id contains a line feed
}
