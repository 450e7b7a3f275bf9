package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/hapaxmq/hapax"
)

// Sequence reads the place of m in its producer's numbering. The producer's
// identity, as spec "json" would make it, is appended to dst and is part of
// what is returned. Number and epoch are whole numbers of at most 64 and 32 bits,
// as JSON numbers or as strings of digits, which is how many encoders write 64
// bits. Errors are as for [Extractor.Append]; it is one, of neither kind, if
// the spec is no sequence.
func (x *Extractor) Sequence(dst []byte, m *hapax.Message) (hapax.Sequence, []byte, error) {
	if !x.IsSequence() {
		return hapax.Sequence{}, dst, errors.New("identity is no sequence: " + x.String())
	}
	return x.alternatives[0][0].sequence(dst, m.Value)
}

// The paths of a sequence, in their order.
const (
	producerPath = iota
	numberPath
	epochPath
)

func (p *part) sequence(dst, text []byte) (q hapax.Sequence, _ []byte, err error) {
	f := finder{scanner: scanner{text: text}}
	if !f.all(p.paths.top) {
		return q, dst, f.fault.err()
	}
	for i := range p.paths.list {
		if f.absent(i) || f.null(i) {
			return q, dst, p.missing[i]
		}
	}
	if q.Number, err = p.whole(&f, numberPath, math.MaxUint64); err != nil {
		return q, dst, err
	}
	if len(p.paths.list) > epochPath {
		epoch, err := p.whole(&f, epochPath, math.MaxUint32)
		if err != nil {
			return q, dst, err
		}
		q.Epoch = uint32(epoch)
	}
	start := len(dst)
	if dst, err = f.append(append(dst, tagJSON), producerPath); err != nil {
		return hapax.Sequence{}, dst[:start], err
	}
	q.Producer = hapax.Identity(dst[start:len(dst):len(dst)])
	return q, dst, nil
}

// whole is the whole number at path i.
func (p *part) whole(f *finder, i int, most uint64) (uint64, error) {
	var buf [32]byte
	n, ok := parseWhole(buf[:0], f.value(i))
	if !ok || n > most {
		return 0, fmt.Errorf("%w: %q is not a whole number from 0 to %d at byte %d",
			hapax.ErrMalformed, p.paths.path(i), most, f.found[i].start)
	}
	return n, nil
}

// parseWhole reads a valid JSON value that is a whole number or a string of its
// digits.
func parseWhole(buf, value []byte) (n uint64, ok bool) {
	switch value[0] {
	case '"':
		value = value[1 : len(value)-1]
		if len(value) > 1 && value[0] == '0' {
			return 0, false
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if digits(value, 0) < len(value) {
			if value, ok = appendNumber(buf, value); !ok {
				return 0, false
			}
		}
	default:
		return 0, false
	}
	if len(value) == 0 || len(value) > 20 || digits(value, 0) < len(value) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	return n, err == nil
}

// appendSequence is the sequence as an identity, for a ledger that keeps ids.
func (p *part) appendSequence(dst, text []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, tagSequence)
	dst = binary.BigEndian.AppendUint64(dst, 0)
	q, dst, err := p.sequence(dst, text)
	if err != nil {
		return dst[:start], err
	}
	binary.BigEndian.PutUint64(dst[start+1:], uint64(len(q.Producer)))
	dst = binary.BigEndian.AppendUint32(dst, q.Epoch)
	return binary.BigEndian.AppendUint64(dst, q.Number), nil
}
