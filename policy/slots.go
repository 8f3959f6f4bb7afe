package policy

// slots gives the objects of one kind their indices. An object keeps its index
// from snapshot to snapshot, so that what refers to it by index, such as a
// session or a cached verdict, stays right.
type slots struct {
	names []string // id by index; "" for a free slot
	at    map[string]uint16
}

// assign gives the objects with these ids their indices. An index that becomes
// free now is used again only if all others are taken; the number of ids is at
// most MaxObjects, so that there is always one.
func assign(prev slots, ids []string) slots {
	n := slots{names: append([]string(nil), prev.names...), at: make(map[string]uint16, len(ids))}
	var fresh []string
	for _, id := range ids {
		if i, ok := prev.at[id]; ok {
			n.at[id] = i
		} else {
			fresh = append(fresh, id)
		}
	}
	var free, freed []uint16
	for i, id := range n.names {
		if id == "" {
			free = append(free, uint16(i))
		} else if _, kept := n.at[id]; !kept {
			n.names[i] = ""
			freed = append(freed, uint16(i))
		}
	}
	for _, id := range fresh {
		var i uint16
		switch {
		case len(free) != 0:
			i, free = free[0], free[1:]
		case len(n.names) < MaxObjects:
			i = uint16(len(n.names))
			n.names = append(n.names, "")
		default:
			i, freed = freed[0], freed[1:]
		}
		n.names[i] = id
		n.at[id] = i
	}
	return n
}

// name returns the id at an index, or "" where there is none.
func (s *slots) name(i uint16) string {
	if int(i) < len(s.names) {
		return s.names[i]
	}
	return ""
}
