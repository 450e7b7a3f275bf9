package group

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// seatsOf makes seats m0, m1 … of what they subscribe to and have. The topics have
// their places as ids.
func seatsOf(wants [][]int, has [][]Partition) []seat {
	seats := make([]seat, len(wants))
	for i := range wants {
		seats[i] = seat{member: fmt.Sprintf("m%02d", i), topics: wants[i]}
		if i < len(has) {
			seats[i].has = has[i]
		}
	}
	return seats
}

func topicsOf(partitions ...int32) (all []Topic) {
	for i, n := range partitions {
		all = append(all, Topic{Name: fmt.Sprintf("t%02d", i), ID: [16]byte{byte(i)}, Partitions: n})
	}
	return all
}

func TestAssign(t *testing.T) {
	p := func(topic byte, indexes ...int32) (all []Partition) {
		for _, i := range indexes {
			all = append(all, Partition{[16]byte{topic}, i})
		}
		return all
	}
	both := []int{0, 1}
	for _, test := range []struct {
		name, assignor string
		topics         []Topic
		seats          []seat
		want           [][]Partition
	}{
		{"nobody", Uniform, topicsOf(3), nil, nil},
		{"nothing", Uniform, nil, seatsOf([][]int{nil}, nil), [][]Partition{nil}},
		{"one", Uniform, topicsOf(2), seatsOf([][]int{{0}}, nil), [][]Partition{p(0, 0, 1)}},
		{"evenly", Uniform, topicsOf(5), seatsOf([][]int{{0}, {0}}, nil), [][]Partition{p(0, 0, 2, 4), p(0, 1, 3)}},
		{"who comes gets from who has most", Uniform, topicsOf(5), seatsOf([][]int{{0}, {0}, {0}}, [][]Partition{p(0, 0, 2, 4), p(0, 1, 3)}), [][]Partition{p(0, 0, 2), p(0, 1, 3), p(0, 4)}},
		{"who stays keeps", Uniform, topicsOf(4), seatsOf([][]int{{0}, {0}}, [][]Partition{nil, p(0, 0, 2)}), [][]Partition{p(0, 1, 3), p(0, 0, 2)}},
		{"what is gone goes", Uniform, topicsOf(1), seatsOf([][]int{{0}}, [][]Partition{slices.Concat(p(0, 0, 1), p(7, 0))}), [][]Partition{p(0, 0)}},
		{"what the fewest can have first", Uniform, topicsOf(2, 2), seatsOf([][]int{{0}, both}, nil), [][]Partition{p(0, 0, 1), p(1, 0, 1)}},
		{"ranges", Range, topicsOf(3, 3), seatsOf([][]int{both, both}, nil), [][]Partition{slices.Concat(p(0, 0, 1), p(1, 0, 1)), slices.Concat(p(0, 2), p(1, 2))}},
		{"more members than partitions", Range, topicsOf(1), seatsOf([][]int{{0}, {0}}, nil), [][]Partition{p(0, 0), nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := assign(test.assignor, test.topics, test.seats)
			if !slices.EqualFunc(got, test.want, slices.Equal[[]Partition]) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// TestAssignHolds: everything that somebody wants goes to one who wants it; uniform
// shares are as even as one move could make them, and moves are no more than that
// takes.
func TestAssignHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topics := topicsOf(rapid.SliceOfN(rapid.Int32Range(0, 6), 0, 5).Draw(t, "partitions")...)
		wants := rapid.SliceOfN(rapid.SliceOfNDistinct(rapid.IntRange(0, max(len(topics)-1, 0)), 0, len(topics), rapid.ID), 1, 7).Draw(t, "wants")
		for i := range wants {
			slices.Sort(wants[i])
		}
		if rapid.Bool().Draw(t, "alike") {
			for i := range wants {
				wants[i] = wants[0]
			}
		}
		assignor := rapid.SampledFrom([]string{Uniform, Range}).Draw(t, "assignor")
		first := assign(assignor, topics, seatsOf(wants, nil))
		checkShares(t, topics, wants, first, assignor)
		if again := assign(assignor, topics, seatsOf(wants, first)); !slices.EqualFunc(again, first, slices.Equal[[]Partition]) {
			t.Fatalf("nothing changed, and %v became %v", first, again)
		}
		gone := rapid.IntRange(0, len(wants)-1).Draw(t, "gone")
		wants, first = slices.Delete(wants, gone, gone+1), slices.Delete(first, gone, gone+1)
		rest := assign(assignor, topics, seatsOf(wants, first))
		checkShares(t, topics, wants, rest, assignor)
		if assignor == Uniform && len(wants) > 0 && alike(wants) {
			for i := range rest {
				for _, p := range first[i] {
					if !has(rest[i], p) {
						t.Fatalf("%v is taken away, though only somebody else went", p)
					}
				}
			}
		}
	})
}

func alike(wants [][]int) bool {
	return !slices.ContainsFunc(wants, func(w []int) bool { return !slices.Equal(w, wants[0]) })
}

func checkShares(t *rapid.T, topics []Topic, wants [][]int, shares [][]Partition, assignor string) {
	owner := map[Partition]int{}
	for i, share := range shares {
		for _, p := range share {
			if other, twice := owner[p]; twice || !slices.Contains(wants[i], int(p.Topic[0])) {
				t.Fatalf("%v goes to %d, who wants %v, and to %d", p, i, wants[i], other)
			}
			owner[p] = i
		}
	}
	for place, topic := range topics {
		for index := range topic.Partitions {
			at, ok := owner[Partition{topic.ID, index}]
			for i := range wants {
				wanted := slices.Contains(wants[i], place)
				if wanted && !ok {
					t.Fatalf("nobody has %s-%d", topic.Name, index)
				}
				if wanted && assignor == Uniform && len(shares[at])-len(shares[i]) > 1 {
					t.Fatalf("%d has %v, and %d %v", at, shares[at], i, shares[i])
				}
			}
		}
	}
}

// BenchmarkAssign shares out a large group's partitions after a member came.
func BenchmarkAssign(b *testing.B) {
	topics := topicsOf(slices.Repeat([]int32{1_000}, 10)...)
	every := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	had := assign(Uniform, topics, seatsOf(slices.Repeat([][]int{every}, 999), nil))
	seats := seatsOf(slices.Repeat([][]int{every}, 1_000), had)
	for b.Loop() {
		assign(Uniform, topics, seats)
	}
}
