package ringbuf

import "testing"

// Ids whose hashes begin or are alike share a path and must not be mistaken for one
// another.
func TestIDsOnOnePath(t *testing.T) {
	table := newIDTable(3, 1)
	table.put(8, 1) // all at home in slot 0
	table.put(16, 2)
	table.put(8, 3)
	if table.replace(16, 1, 4) || table.replace(24, 9, 4) {
		t.Error("replaced a slot of another event")
	}
	if !table.replace(8, 3, 4) {
		t.Error("did not find its slot")
	}
	var got []uint64
	for i := range table.slots {
		if word := table.slots[i].Load(); word != 0 {
			got = append(got, table.seq(word))
		}
	}
	if len(got) != 3 || got[0] != 1 || got[1] != 2 || got[2] != 4 {
		t.Errorf("slots name %d, want 1, 2, 4", got)
	}
	if table.used != 3 {
		t.Errorf("%d slots used", table.used)
	}
}

func TestATableMadeAnewHoldsTheLiving(t *testing.T) {
	table := newIDTable(100, 1)
	for seq := uint64(1); seq <= 150; seq++ {
		table.put(uint32(seq*2654435761), seq)
	}
	fresh := table.rebuilt(141)
	if fresh.used != 10 || len(fresh.slots) != 32 || fresh.base != 141 {
		t.Errorf("%d of %d slots used from %d on, want 10 of 32 from 141 on", fresh.used, len(fresh.slots), fresh.base)
	}
	for seq := uint64(141); seq <= 150; seq++ {
		if !fresh.replace(uint32(seq*2654435761), seq, seq) {
			t.Errorf("%d is missing", seq)
		}
	}
}
