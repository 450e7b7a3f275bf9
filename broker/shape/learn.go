package shape

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Of learns how the requests of a key and version are laid out: it sets one part
// after another of a request, and sees what becomes of its bytes.
//
//	nothing               the version does not have the part
//	as many bytes more    it stands in its place; an array takes each element's
//	some more than that   it stands in the tags, behind its number and size
//
// It panics on a key or version that kmsg does not know.
func Of(key, version int16) *Shape {
	req := kmsg.RequestForKey(key)
	if req == nil || version < 0 || version > req.MaxVersion() {
		panic(fmt.Sprintf("shape of requests with key %d, version %d: not known", key, version))
	}
	req.SetVersion(version)
	l := learner{req}
	return &Shape{flexible: req.IsFlexible(), body: l.structure(reflect.ValueOf(req).Elem())}
}

// learner has a request of which all is at its default, but for arrays and
// structures that were met: these are there, once.
type learner struct{ req kmsg.Request }

// difference is what the request has of bytes before and after a change.
type difference struct{ before, after []byte }

func (l learner) change(v reflect.Value, to reflect.Value) (d difference) {
	d.before = l.req.AppendTo(nil)
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	v.Set(to)
	d.after = l.req.AppendTo(nil)
	v.Set(was)
	return d
}

func (d difference) none() bool  { return bytes.Equal(d.before, d.after) }
func (d difference) growth() int { return len(d.after) - len(d.before) }

// first is where they begin to differ. A tag differs first in the count of tags,
// which its number follows.
func (d difference) first() int {
	for i := range d.before {
		if d.before[i] != d.after[i] {
			return i
		}
	}
	return len(d.before)
}

func (d difference) tag() field { return field{kind: tagged, tag: uint32(d.after[d.first()+1])} }

// structure learns the parts of one, which is in the request.
func (l learner) structure(v reflect.Value) field {
	f := field{kind: group, memory: int(v.Type().Size())}
	if l.req.IsFlexible() {
		f.least = 1
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "UnknownTags" || name == "Version" && v.Addr().Interface() == any(l.req) {
			continue
		}
		switch part := l.part(v.Field(i)); part.kind {
		case absent:
		case tagged:
			if holdsStructures(v.Field(i).Type()) {
				f.closed = append(f.closed, part.tag)
			}
			f.tag = part.tag // of the structure itself, if it is in the tags
		default:
			f.parts = append(f.parts, part)
			f.least += part.least
		}
	}
	return f
}

// holdsStructures tells whether a type has tags of its own in it.
func holdsStructures(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return true
	case reflect.Slice, reflect.Pointer:
		return holdsStructures(t.Elem())
	}
	return false
}

func (l learner) part(v reflect.Value) field {
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			return l.array(v)
		}
	case reflect.Struct:
		return l.inner(v)
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.Struct {
			return l.optional(v)
		}
	}
	d := l.change(v, other(v))
	f := l.plain(v.Type())
	grows := 0 // by how much, in its place
	if f.kind != fixed {
		grows = 1
	}
	switch {
	case d.none():
		return field{}
	case d.growth() != grows:
		return d.tag()
	}
	return f
}

// plain is a part that is no array and no structure.
func (l learner) plain(t reflect.Type) field {
	f := field{kind: fixed, memory: int(t.Size())}
	switch t.Kind() {
	case reflect.String, reflect.Pointer:
		f.kind, f.least = text, 2
		if t.Kind() == reflect.Pointer {
			f.memory += int(t.Elem().Size())
		}
	case reflect.Slice:
		f.kind, f.least = blob, 4
	default:
		f.size = int(t.Size())
		f.least = f.size
		return f
	}
	if l.req.IsFlexible() {
		f.least = 1
	}
	return f
}

// other is a value of a part that is no array and no structure, one byte longer if
// its length can change.
func other(v reflect.Value) reflect.Value {
	to := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Bool:
		to.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		to.SetInt(v.Int() ^ 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		to.SetUint(v.Uint() ^ 1)
	case reflect.Float64:
		to.SetFloat(v.Float() + 1)
	case reflect.Array:
		to.Index(0).SetUint(v.Index(0).Uint() ^ 1)
	case reflect.String:
		to.SetString(v.String() + "x")
	case reflect.Slice:
		to.SetBytes(append(bytes.Clone(v.Bytes()), 1))
	case reflect.Pointer: // to a string
		s := "x"
		if !v.IsNil() {
			s += v.Elem().String()
		}
		to.Set(reflect.ValueOf(&s))
	}
	return to
}

// array learns one. It is left with one element.
func (l learner) array(v reflect.Value) field {
	one, two := reflect.MakeSlice(v.Type(), 1, 1), reflect.MakeSlice(v.Type(), 2, 2)
	setDefault(one.Index(0))
	setDefault(two.Index(0))
	setDefault(two.Index(1))
	first, second := l.change(v, one), l.change(v, two)
	each := second.growth() - first.growth()
	switch {
	case first.none():
		return field{}
	case first.growth() != each:
		return first.tag()
	}
	v.Set(one)
	f := field{kind: array, least: 4, memory: int(v.Type().Size())}
	if l.req.IsFlexible() {
		f.least = 1
	}
	element := l.plain(v.Type().Elem())
	switch v.Type().Elem().Kind() {
	case reflect.Struct:
		element = l.structure(v.Index(0))
	case reflect.Slice:
		if v.Type().Elem().Elem().Kind() != reflect.Uint8 {
			element = l.array(v.Index(0))
		}
	}
	f.parts = []field{element}
	return f
}

// inner learns a structure that is in the request. One in the tags has all its
// parts there.
func (l learner) inner(v reflect.Value) field {
	f := l.structure(v)
	switch {
	case len(f.parts) > 0:
		return f
	case l.present(v):
		return field{kind: tagged, tag: f.tag}
	}
	return field{}
}

// present tells whether any part of a structure makes a difference.
func (l learner) present(v reflect.Value) bool {
	for i := range v.NumField() {
		if v.Type().Field(i).Name != "UnknownTags" && !holdsStructures(v.Field(i).Type()) && !l.change(v.Field(i), other(v.Field(i))).none() {
			return true
		}
	}
	return false
}

// optional learns a structure that may be left out. It is left in the request.
func (l learner) optional(v reflect.Value) field {
	there := reflect.New(v.Type().Elem())
	setDefault(there.Elem())
	d := l.change(v, there)
	switch {
	case d.none():
		return field{}
	case d.before[d.first()] != notThere:
		return d.tag()
	}
	v.Set(there)
	f := l.structure(v.Elem())
	f.kind, f.least = optional, 1
	return f
}

// setDefault gives a part of a request the values that go without saying.
func setDefault(v reflect.Value) {
	if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
}
