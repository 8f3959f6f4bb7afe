package sigindex

import (
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestBucketIsOneLine(t *testing.T) {
	if n := unsafe.Sizeof(bucket{}); n != 64 {
		t.Fatalf("a bucket has %d bytes, want 64", n)
	}
}

func found(t *Table, hash uint64) []uint32 {
	var ids []uint32
	for c := t.Each(hash); ; {
		id := c.Next()
		if id == None {
			slices.Sort(ids)
			return ids
		}
		ids = append(ids, id)
	}
}

// A map from identifier to hash is the twin. Few distinct hashes in a small
// table make equal signatures, shared buckets and overflow common.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, err := New(16)
		if err != nil {
			t.Fatal(err)
		}
		defer tab.Free()
		hashes := rapid.Custom(func(t *rapid.T) uint64 {
			return rapid.Uint64Range(0, 7).Draw(t, "low") | rapid.Uint64Range(0, 2).Draw(t, "sig")<<48
		})
		twin := map[uint32]uint64{}
		next := uint32(0)
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				h := hashes.Draw(t, "hash")
				full := len(tab.Neighbours(nil, h)) == 2*slots
				ok := tab.Insert(h, next)
				if !ok && !full {
					t.Fatal("Insert refused with room in its buckets")
				}
				if ok {
					twin[next] = h
				}
				next++
			},
			"remove": func(t *rapid.T) {
				h := hashes.Draw(t, "hash")
				id := rapid.Uint32Range(0, next).Draw(t, "id")
				want := false
				if th, ok := twin[id]; ok && th == h {
					want = true
				}
				if got := tab.Remove(h, id); got && !want {
					// Hashes that share signature and buckets are one to the index.
					th, ok := twin[id]
					if !ok || signature(th) != signature(h) {
						t.Fatalf("Remove(%x, %d) found what was never put there", h, id)
					}
				} else if got != want {
					t.Fatalf("Remove(%x, %d) = %v, want %v", h, id, got, want)
				} else if !got {
					return
				}
				delete(twin, id)
			},
			"": func(t *rapid.T) {
				for id, h := range twin {
					if !slices.Contains(found(tab, h), id) {
						t.Fatalf("%d with hash %x is lost; found %v", id, h, found(tab, h))
					}
				}
				for h := range uint64(8) {
					for _, id := range found(tab, h) {
						if _, ok := twin[id]; !ok {
							t.Fatalf("%d was removed but is found", id)
						}
					}
				}
			},
		})
	})
}

func TestCandidatesAreOfEach(t *testing.T) {
	tab, err := New(1000)
	if err != nil {
		t.Fatal(err)
	}
	defer tab.Free()
	h := uint64(1)
	next := func() uint64 {
		h = h*6364136223846793005 + 1442695040888963407
		return h ^ h>>29
	}
	var hashes []uint64
	for id := range uint32(1000) {
		hashes = append(hashes, next())
		if !tab.Insert(hashes[id], id) {
			t.Fatalf("no room for %d of 1000", id)
		}
	}
	hashes = append(hashes, hashes[0]^1<<40, next(), next()) // one with a known signature and bucket, two unknown
	ids := make([]uint32, len(hashes))
	tab.Candidates(hashes, ids)
	for i, h := range hashes {
		if all := found(tab, h); ids[i] == None && len(all) > 0 || ids[i] != None && !slices.Contains(all, ids[i]) {
			t.Fatalf("the candidate for hash %d is %d, Each finds %v", i, ids[i], all)
		}
	}
}
