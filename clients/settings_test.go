package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSettingsUnderKill: each setting of a window, under kill -9. Of each record that
// was written the topic has what its settings say, and each client that follows all
// topics meanwhile, across the gaps, reads each record that is there once, in order.
func TestSettingsUnderKill(t *testing.T) {
	t.Parallel()
	skipApache(t)
	n := start(t)
	all := settings()
	s := &settingsExam{node: n, stepped: make(chan struct{}, len(all)*rounds)}
	s.makeTopics(all)
	var followers []*follower
	for _, c := range clients() {
		if !c.cannot("follow") {
			require(t, c.needs)
			followers = append(followers, newFollower(c.run(t, n, append([]string{"follow"}, s.topics...)...), 2*len(s.topics)))
		}
	}
	s.write(all)
	want, marked := s.stored()
	for _, x := range all {
		x.check(t, want, marked)
	}
	for _, f := range followers {
		f.check(t, want)
	}
}

const (
	rounds = 12 // that each topic is written in
	kills  = 3
)

// settingsExam is the test of all topics, each with its settings.
type settingsExam struct {
	*node
	topics  []string
	stepped chan struct{} // a topic has done a round
}

func (s *settingsExam) makeTopics(all []*setting) {
	s.Helper()
	admin := kadm.NewClient(s.client())
	create := func(name string, settings map[string]*string) {
		if _, err := admin.CreateTopic(s.Context(), 2, 1, settings, name); err != nil {
			s.Fatalf("make topic %s: %v", name, err)
		}
		s.topics = append(s.topics, name)
	}
	for _, x := range all {
		settings := map[string]*string{}
		for name, value := range x.settings() {
			settings[name] = kadm.StringPtr(value)
		}
		if strings.Contains(x.set, "=topic:") {
			create(x.aside(), nil)
		}
		create(x.name, settings)
	}
}

// write writes all topics at once, and kills the broker meanwhile.
func (s *settingsExam) write(all []*setting) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*patience)
	defer cancel()
	var writing sync.WaitGroup
	faults := make([]error, len(all))
	for i, x := range all {
		x.away = map[int]bool{}
		x.open(s.node)
		writing.Go(func() { faults[i] = x.write(ctx, s.stepped) })
	}
	for i := range kills {
		for range len(all) * rounds / (kills + 1) {
			select {
			case <-s.stepped:
			case <-ctx.Done():
				s.Errorf("the broker was killed %d times of %d", i, kills)
			}
		}
		s.kill()
	}
	writing.Wait()
	err := errors.Join(faults...)
	for _, x := range all {
		err = errors.Join(err, x.writeLast(ctx))
	}
	if err != nil {
		s.Fatal(err)
	}
}

// told is a record that is there, in the words of those who follow.
type told struct {
	topic             string
	partition, offset int
	label             string
}

// last is the label of a partition's last record.
const last = "last"

// stored is what the topics hold, and which records, LABEL of TOPIC, name a first one.
func (s *settingsExam) stored() (all []told, marked map[string]bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	reader := s.client(kgo.ConsumeTopics(s.topics...))
	marked = map[string]bool{}
	for open := 2 * len(s.topics); open > 0; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			s.Fatalf("read the topics: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			headers := map[string]string{}
			for _, h := range r.Headers {
				headers[h.Key] = string(h.Value)
			}
			x := told{r.Topic, int(r.Partition), int(r.Offset), headers["label"]}
			if all = append(all, x); x.label == last {
				open--
			}
			_, names := headers["hapax-duplicate-of"]
			marked[x.label+" of "+x.topic] = names
		})
	}
	return all, marked
}

// follower is a client that reads all topics while they are written.
type follower struct {
	*program
	told  map[string][]told // by topic and partition
	ended chan struct{}
}

// newFollower takes in what it tells, up to the last record of each partition.
func newFollower(p *program, partitions int) *follower {
	f := &follower{program: p, told: map[string][]told{}, ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		for line := range p.lines {
			var x told
			if _, err := fmt.Sscanf(line, "read %s %d %d %s", &x.topic, &x.partition, &x.offset, &x.label); err != nil {
				x.label = line + ": " + err.Error()
			}
			where := fmt.Sprint(x.topic, " ", x.partition)
			f.told[where] = append(f.told[where], x)
			if x.label != last {
				continue
			}
			if partitions--; partitions == 0 {
				_ = p.stdin.Close() // if it has ended by itself, end tells
			}
		}
	}()
	return f
}

// check demands that it told each record that is there once, in order.
func (f *follower) check(t *testing.T, want []told) {
	t.Helper()
	select {
	case <-f.ended:
		f.end()
	case <-time.After(patience):
		t.Errorf("%s has not come to the end within %v", f.name, patience)
		f.kill()
		<-f.ended
	}
	wanted := map[string][]told{}
	for _, x := range want {
		where := fmt.Sprint(x.topic, " ", x.partition)
		wanted[where] = append(wanted[where], x)
	}
	for where, want := range wanted {
		if got := f.told[where]; !slices.Equal(got, want) {
			t.Errorf("%s read of %s\n%v\nwant\n%v", f.name, where, got, want)
		}
	}
}
