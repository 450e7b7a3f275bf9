// Package stream makes the messages every contestant is given: the same ids
// in the same order, computed from their position, so that none has to be
// stored and every answer can be checked.
package stream

import "math/bits"

// ID is a UUID in its text form, 36 bytes.
type ID [36]byte

// Stream is an endless row of messages. One message in every Every is a copy
// of an earlier one, at an unpredictable place, and all others are new.
type Stream struct {
	Seed  uint64
	Every int64 // at least 2; 0: no duplicates at all
	Among int64 // copies are of the oldest 1/Among of all ids so far; 0 and 1: of any
}

// Tenth is the stream of most rows: a tenth are duplicates of any earlier id.
func Tenth() Stream { return Stream{Seed: 1, Every: 10, Among: 1} }

// Number returns which id, counted from 0, message i carries, and whether an
// earlier message carried it too.
func (s Stream) Number(i int64) (number int64, duplicate bool) {
	if s.Every == 0 {
		return i, false
	}
	block, place := i/s.Every, i%s.Every
	copyPlace := s.copyPlace(block)
	switch {
	case place < copyPlace:
		return block*(s.Every-1) + place, false
	case place > copyPlace:
		return block*(s.Every-1) + place - 1, false
	}
	return s.earlier(i, block), true
}

// earlier picks the id that message i, a duplicate, repeats. Only ids of the
// blocks before count, but for the first block, whose copy stands last.
func (s Stream) earlier(i, block int64) int64 {
	known := block * (s.Every - 1)
	if block == 0 {
		known = s.Every - 1
	}
	if s.Among > 1 {
		known = max(1, known/s.Among)
	}
	high, _ := bits.Mul64(mix(s.Seed^0x9e37^uint64(i)<<1), uint64(known))
	return int64(high)
}

func (s Stream) copyPlace(block int64) int64 {
	if block == 0 {
		return s.Every - 1
	}
	high, _ := bits.Mul64(mix(s.Seed+uint64(block)*0x9e3779b97f4a7c15), uint64(s.Every))
	return int64(high)
}

// Fresh returns how many of the first n messages are new.
func (s Stream) Fresh(n int64) int64 {
	if s.Every == 0 {
		return n
	}
	block, place := n/s.Every, n%s.Every
	fresh := block*(s.Every-1) + place
	if place > s.copyPlace(block) {
		fresh--
	}
	return fresh
}

// Messages returns how many messages from the start carry n new ids.
func (s Stream) Messages(n int64) int64 {
	if s.Every == 0 {
		return n
	}
	blocks := (n + s.Every - 2) / (s.Every - 1)
	return blocks * s.Every
}

// Fill writes the ids of the messages first, first+1, … to dst.
func (s Stream) Fill(dst []ID, first int64) {
	for i := range dst {
		number, _ := s.Number(first + int64(i))
		s.ID(&dst[i], number)
	}
}

// ID writes id number n: 122 mixed bits in the form of a version 4 UUID.
func (s Stream) ID(dst *ID, n int64) {
	const digits = "0123456789abcdef"
	high := mix(s.Seed<<40 ^ uint64(n)<<1)
	low := mix(s.Seed<<40 ^ uint64(n)<<1 ^ 1)
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 2<<62
	at := 0
	for shift := 60; shift >= 0; shift -= 4 {
		if at == 8 || at == 13 {
			dst[at] = '-'
			at++
		}
		dst[at] = digits[high>>shift&15]
		at++
	}
	for shift := 60; shift >= 0; shift -= 4 {
		if at == 18 || at == 23 {
			dst[at] = '-'
			at++
		}
		dst[at] = digits[low>>shift&15]
		at++
	}
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection,
// so that different numbers make different ids.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
