package masterfile

import "dialtone/zone/rr"

// spell gives all RRsets of a name the case of its first record, and the apex
// the case in which it is configured. A name has one spelling in memory: if
// its RRsets came with several, a restart could show another one under the
// same serial.
func (p *parser) spell() {
	first := map[rr.Name]rr.Name{} // of names that have capitals somewhere, by lower case
	for i := range p.sets {
		o := &p.sets[i].Owner
		if own := (*o)[:len(*o)-len(p.apex)]; (*o)[len(own):] != p.apex {
			*o = own + p.apex
		}
		if own := (*o)[:len(*o)-len(p.apex)]; own.Lower() != own {
			first[o.Lower()] = ""
		}
	}
	if len(first) == 0 {
		return
	}
	for i := range p.sets {
		o := &p.sets[i].Owner
		switch as, mixed := first[o.Lower()]; {
		case !mixed:
		case as == "":
			first[o.Lower()] = *o
		default:
			*o = as
		}
	}
}
