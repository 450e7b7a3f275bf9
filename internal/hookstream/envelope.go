package hookstream

import "math/rand/v2"

// line is one line of a stream.
type line struct {
	content
	delivery  uint64
	received  int64 // milliseconds since 1970
	reordered bool  // fields in another order, the meaning the same
	class     Class
	first     place // where what it is a copy of was first seen
}

// place is where a line stands in its stream.
type place struct {
	number int64 // of lines before it
	offset int64 // of bytes before it
	clock  int64 // the latest received_at so far, in milliseconds since 1970
}

// appendLine appends l's bytes and a line feed.
func (g *generator) appendLine(dst []byte, l *line) []byte {
	t := g.templates[l.template]
	t.vary(g.Seed, l.content)
	if !l.reordered {
		dst = append(dst, `{"delivery":"`...)
		dst = appendUUID(dst, g.Seed, l.delivery)
		dst = append(append(dst, `","event":"`...), t.event...)
		dst = appendMillis(append(dst, `","received_at":"`...), l.received)
		dst = append(append(dst, `","payload":`...), t.body...)
		return append(dst, '}', '\n')
	}
	dst = append(dst, `{"payload":{`...)
	for i := len(t.fields) - 1; i >= 0; i-- {
		dst = append(dst, t.body[t.fields[i].start:t.fields[i].end]...)
		if i > 0 {
			dst = append(dst, ',')
		}
	}
	dst = appendMillis(append(dst, `},"received_at":"`...), l.received)
	dst = append(append(dst, `","event":"`...), t.event...)
	dst = appendUUID(append(dst, `","delivery":"`...), g.Seed, l.delivery)
	return append(dst, '"', '}', '\n')
}

// appendUUID appends the delivery's id: a version 4 UUID whose first twelve
// digits alone are unique.
func appendUUID(dst []byte, seed, delivery uint64) []byte {
	var source rand.PCG
	source.Seed(^seed, delivery)
	random, n := source.Uint64(), scatter(^seed, delivery)
	const form = "nnnnnnnn-nnnn-4rrr-vrrr-rrrrrrrrrrrr"
	for i := range len(form) {
		switch c := form[i]; c {
		case 'n':
			dst = append(dst, hexits[n&15])
			n >>= 4
		case 'v':
			dst = append(dst, hexits[8+random&3])
			random >>= 2
		case 'r':
			if random == 0 {
				random = source.Uint64()
			}
			dst = append(dst, hexits[random&15])
			random >>= 4
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendMillis appends a time as 2006-01-02T15:04:05.000Z.
func appendMillis(dst []byte, millis int64) []byte {
	const form = "0000-00-00T00:00:00.000Z"
	dst = append(dst, form...)
	text := dst[len(dst)-len(form):]
	writeTime(text, millis/1000)
	writeNumber(text[20:23], uint64(millis%1000))
	return dst
}
