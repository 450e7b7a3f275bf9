package producer

// list is a queue of producers, linked through them, so that one can leave from
// the middle.
type list struct {
	front, back *producer
}

// push adds p, which is in no list, at the back.
func (l *list) push(p *producer) {
	p.older, p.newer = l.back, nil
	if l.back == nil {
		l.front = p
	} else {
		l.back.newer = p
	}
	l.back = p
}

// remove takes p out of the list that it is in.
func (l *list) remove(p *producer) {
	if p.older == nil {
		l.front = p.newer
	} else {
		p.older.newer = p.newer
	}
	if p.newer == nil {
		l.back = p.older
	} else {
		p.newer.older = p.older
	}
	p.older, p.newer = nil, nil
}
