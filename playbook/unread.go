package playbook

// Unread lists, by block, the tags and segments that no condition of the
// playbook reads. They are published all the same; who asks is told, since a rule
// that was meant to read one may name another.
func (p *Playbook) Unread() []string {
	read := p.read
	var out []string
	for i := range p.Phases {
		r := &p.Phases[i]
		switch r.Block {
		case "segments":
			if !read[Ref{"segment", r.Name}] {
				out = append(out, "segment "+r.Name)
			}
		case "tags":
			seen := read[Ref{"tag_of", r.Name}]
			for _, t := range r.Names[1:] {
				seen = seen || !r.Value && read[Ref{"tag", t}]
			}
			if !seen {
				out = append(out, "tag "+r.Name)
			}
		}
	}
	return out
}

// reads keeps that some rule reads what ref names.
func (p *Playbook) reads(ref Ref) {
	if p.read == nil {
		p.read = map[Ref]bool{}
	}
	p.read[ref] = true
}
