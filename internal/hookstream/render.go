package hookstream

import "math/rand/v2"

const (
	digits36 = "0123456789abcdefghijklmnopqrstuvwxyz"
	digits62 = digits36 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hexits   = "0123456789abcdef"

	people = 5000 // logins there are
)

// content says what a payload holds. Equal contents make equal payloads, and
// contents of different serials make payloads that differ.
type content struct {
	template uint32
	base     uint64 // seeds all parts but the serial one
	serial   uint64 // below 2^48
	created  int64  // milliseconds since 1970
}

// vary writes c over the template's body.
func (t *template) vary(seed uint64, c content) {
	var source rand.PCG
	source.Seed(seed, c.base)
	var room [128]byte
	for i := range t.parts {
		p := &t.parts[i]
		text := room[:p.width]
		if i == t.serial {
			p.kind.writeSerial(text, &source, scatter(seed, c.serial))
		} else {
			p.write(text, &source, c.created/1000)
		}
		for _, at := range p.at {
			copy(t.body[at:], text)
		}
	}
}

// write fills text with another value of the part's kind.
func (p *part) write(text []byte, source *rand.PCG, created int64) {
	switch p.kind {
	case number:
		writeDigits(text, "0123456789", source)
		if len(text) > 0 && text[0] == '0' {
			text[0] = '1'
		}
	case unixTime:
		writeNumber(text, uint64(max(created-p.age, 0)))
	case isoTime:
		writeTime(text, max(created-p.age, 0))
	case login:
		writeLogin(text, source)
	default:
		p.kind.writeSerial(text, source, source.Uint64()>>16)
	}
}

// writeSerial fills text with random characters that fit the kind, and as many
// of them as it takes with n, which is below 2^48.
func (k kind) writeSerial(text []byte, source *rand.PCG, n uint64) {
	switch k {
	case hexHash:
		writeDigits(text, hexits, source)
		for i := range 12 {
			text[i] = hexits[n>>(4*i)&15]
		}
	case advisory:
		writeDigits(text, digits36, source)
		text[4], text[9] = '-', '-'
		for i := range serialWidth {
			text[i+i/4] = digits36[n%36]
			n /= 36
		}
	default:
		writeDigits(text, digits62, source)
		for i := range min(serialWidth, len(text)) {
			text[i] = digits36[n%36]
			n /= 36
		}
	}
}

// scatter is a permutation of the numbers below 2^48, so that serials do not
// look like a count.
func scatter(seed, n uint64) uint64 {
	const mask = 1<<48 - 1
	n = (n*0x9E3779B97F4A7C15 + seed) & mask
	n ^= n >> 24
	n = n * 0xBF58476D1CE4E5B9 & mask
	return n ^ n>>24
}

func writeDigits(text []byte, alphabet string, source *rand.PCG) {
	var word uint64
	for i := range text {
		if i%8 == 0 {
			word = source.Uint64()
		}
		text[i] = alphabet[int(word&0xff)*len(alphabet)>>8]
		word >>= 8
	}
}

// writeLogin fills text with a name that can be said. A few people send most
// of the webhooks.
func writeLogin(text []byte, source *rand.PCG) {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	a, b := below(source, people), below(source, people)
	word := (min(a, b) + 1) * 0x9E3779B97F4A7C15
	for i := range text {
		from := consonants
		if i%2 == 1 {
			from = vowels
		}
		text[i] = from[(word>>56)*uint64(len(from))>>8]
		word *= 0x5851F42D4C957F2D
		word++
	}
}

// writeNumber writes the last digits of n, as many as text holds.
func writeNumber(text []byte, n uint64) {
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = byte('0' + n%10)
		n /= 10
	}
}

// writeTime writes seconds since 1970 as 2006-01-02T15:04:05.
func writeTime(text []byte, seconds int64) {
	year, month, day := civil(seconds / 86400)
	writeNumber(text[0:4], year)
	writeNumber(text[5:7], month)
	writeNumber(text[8:10], day)
	clock := uint64(seconds % 86400)
	writeNumber(text[11:13], clock/3600)
	writeNumber(text[14:16], clock/60%60)
	writeNumber(text[17:19], clock%60)
	text[4], text[7], text[10], text[13], text[16] = '-', '-', 'T', ':', ':'
}

// civil is the Gregorian date of a count of days since 1970: time.Time.Date
// takes ten times as long, and a payload holds dozens of dates. Years are
// counted from March, so that a leap day is the last of its year.
func civil(days int64) (year, month, day uint64) {
	n := uint64(days) + 719468
	era, ofEra := n/146097, n%146097
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	march := (5*ofYear + 2) / 153
	year, month, day = era*400+yearOfEra, march+3, ofYear-(153*march+2)/5+1
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}
