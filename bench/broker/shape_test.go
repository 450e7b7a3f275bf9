package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/hapaxmq/hapax/bench/stream"
)

func TestOrdersAreJSON(t *testing.T) {
	s := byJSON()
	for number := range int64(2000) {
		var id stream.ID
		allNew().ID(&id, number*number)
		order := s.slab(allNew(), number*number, 1)
		if len(order) != orderBytes {
			t.Fatalf("order %d has %d bytes", number, len(order))
		}
		var parsed struct {
			ID   string `json:"id"`
			Data struct {
				Object struct {
					Metadata struct {
						Note string `json:"note"`
					} `json:"metadata"`
				} `json:"object"`
			} `json:"data"`
		}
		if err := json.Unmarshal(order, &parsed); err != nil {
			t.Fatalf("%v: %s", err, order)
		}
		if parsed.ID != string(id[:]) {
			t.Fatalf("id %q, want %q", parsed.ID, id)
		}
		if note := len(parsed.Data.Object.Metadata.Note); note < 1 || note > orderBytes/3 {
			t.Fatalf("the note fills %d bytes: %s", note, order)
		}
	}
}

func TestACopyIsTheSame(t *testing.T) {
	ids := stream.Stream{Seed: 5, Every: 2}
	for _, s := range []shape{byHeader(), byKey(), byValue(), byJSON()} {
		parts := make(map[int64][]byte)
		all := s.slab(ids, 0, 1000)
		for i := range int64(1000) {
			part := all[i*int64(s.part):][:s.part]
			number, duplicate := ids.Number(i)
			if first, ok := parts[number]; ok != duplicate || ok && !bytes.Equal(first, part) {
				t.Fatalf("%s: message %d is %q, the first with its id is %q", s.name, i, part, first)
			}
			parts[number] = part
		}
	}
	header := byHeader()
	if got := numberOf(header.one(ids, 77).Value); got != 77 {
		t.Errorf("number %d, want 77", got)
	}
}
