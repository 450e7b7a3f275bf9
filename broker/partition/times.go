package partition

import "encoding/binary"

// TimesHead is how many bytes before a batch, or a run of them, tell the time of the first one's append, and how many bytes before them tell
// those of the others.
const TimesHead = 4 + HeadSize

// appendTimes appends when batches were appended, and what is before the first.
func appendTimes(b []byte, number uint32, times []int64) []byte {
	var others []byte
	first := int64(0)
	for i, t := range times {
		if i == 0 {
			first = t
		} else {
			others = binary.AppendVarint(others, t-times[i-1])
		}
	}
	b = append(binary.AppendUvarint(b, uint64(len(others))), others...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(others)))
	return AppendHead(b, number, first)
}

// TimesLength is how many bytes are before the head of a run of a partition that tell
// the times of the batches behind its first.
func TimesLength(head []byte, number uint32) int64 {
	if len(head) != TimesHead || binary.LittleEndian.Uint32(head[4:]) != number {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(head))
}

// Times are when the batches of an extent were appended, Unix ms.
type Times struct {
	next   int64
	others []byte
}

// ReadTimes reads them from what is before an extent of a partition. Of some that
// tells nothing.
func ReadTimes(before []byte, number uint32) (t Times) {
	others := len(before) - TimesHead
	if others < 0 || binary.LittleEndian.Uint32(before[others+4:]) != number {
		return t
	}
	return Times{int64(binary.LittleEndian.Uint64(before[others+8:])), before[:others]}
}

// Next is the next batch's; 0 if nobody knows.
func (t *Times) Next() (at int64) {
	at, t.next = t.next, 0
	if later, n := binary.Varint(t.others); n > 0 {
		t.next, t.others = at+later, t.others[n:]
	}
	return at
}
