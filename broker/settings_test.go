package broker

import (
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

func TestSettingsAreChecked(t *testing.T) {
	for _, test := range []struct {
		set, want string // want is part of the error
	}{
		{"", ""},
		{"num.partitions=6", ""},
		{"num.partitions=0", "want a number from 1 to 10000"},
		{"num.partitions=six", "want a number"},
		{"num.partition=6", "is num.partitions meant?"},
		{"retention.ms=6", "is log.retention.ms meant?"},
		{"auto.create.topics.enable=yes", "want true or false"},
		{"compression.type=zip", "want producer, uncompressed"},
		{"compression.type=gzip", ""},
		{"log.message.timestamp.type=LogAppendTime", ""},
		{"log.message.timestamp.type=Never", "want CreateTime, LogAppendTime"},
		{"log.message.timestamp.before.max.ms=-1", "want a number from 0"},
		{"compression.type=producer", ""},
		{"log.cleanup.policy=delete, compact", ""},
		{"log.cleanup.policy=squeeze", "want delete, compact"},
		{"log.cleaner.min.cleanable.ratio=1.5", "want a number from 0 to 1"},
		{"log.cleaner.min.cleanable.ratio=NaN", "want a number from 0 to 1"},
		{"group.consumer.session.timeout.ms=60000,group.consumer.heartbeat.interval.ms=15000", ""},
		{"hapax.window.ms=1000", "setting hapax.window.ms is one of topics: give it to a topic"},
		{"retention.ms=1000", "is log.retention.ms meant?"},
		{"group.consumer.session.timeout.ms=30000", "setting group.consumer.session.timeout.ms=30000: want a number from 45000 to 60000, which are group.consumer.min.session.timeout.ms and"},
		{"group.consumer.min.session.timeout.ms=30000,group.consumer.session.timeout.ms=30000", ""},
		{"group.consumer.heartbeat.interval.ms=20000", "want a number from 5000 to 15000"},
		{"group.consumer.max.heartbeat.interval.ms=50000,group.consumer.heartbeat.interval.ms=45000", "want more than group.consumer.heartbeat.interval.ms=45000"},
		{"zookeeper.connect=localhost:2181,localhost:2182", ""},
		{"listener.name.out.ssl.client.auth=required", ""},
		{"listener.name.out.ssl.client.auth=perhaps", "listener.name.out.ssl.client.auth: setting ssl.client.auth=perhaps: want required"},
		{"listener.name.out.sasl.enabled.mechanisms=PLAIN", ""},
		{"listener.name.out.num.partitions=3", "and no others"},
		{"listener.name.out=", "and no others"},
		{"listener.name.out.ssl.keystore=node.pem", "is ssl.keystore.key meant?"},
		{"socket.request.max.bytes=2147483648", "want a number from 1024 to 2147483647"},
	} {
		s := Settings{}
		if err := s.Set(test.set); err != nil {
			t.Errorf("%s: %v", test.set, err)
		}
		err := s.Check()
		switch {
		case test.want == "":
			if err != nil {
				t.Errorf("%s: %v", test.set, err)
			}
		case !errors.Is(err, code.InvalidConfig) || !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: %v, want %q", test.set, err, test.want)
		}
	}
}

// Every default is a value that the setting may have.
func TestDefaultsParse(t *testing.T) {
	for _, c := range []catalog{newCatalog(nodeSettings()), newCatalog(topicSettings()), newCatalog(groupSettings())} {
		for _, name := range c.names() {
			s := c[name]
			if s.doc == "" {
				t.Errorf("%s: nothing is said about it", name)
			}
			if err := s.parse(s.value); s.value != "" && err != nil {
				t.Errorf("%s=%s: %v", name, s.value, err)
			}
		}
	}
	node := newCatalog(nodeSettings())
	for _, s := range slices.Concat(topicSettings(), groupSettings()) {
		for _, name := range s.node {
			if node[name] == nil {
				t.Errorf("%s: the node has no %s", s.name, name)
			}
		}
	}
}

func TestSettingsText(t *testing.T) {
	for _, test := range []struct {
		set  string
		want Settings
	}{
		{"", Settings{}},
		{" , ", Settings{}},
		{"a=1,b = 2", Settings{"a": "1", "b": "2"}},
		{"a=x,y,b=z", Settings{"a": "x,y", "b": "z"}},
		{"a=,b=", Settings{"a": "", "b": ""}},
		{"a", nil},
		{"=a", nil},
	} {
		s := Settings{}
		if err := s.Set(test.set); (err == nil) != (test.want != nil) || err == nil && !maps.Equal(s, test.want) {
			t.Errorf("%q: %v, %v", test.set, s, err)
		}
	}
	s := Settings{}
	if at, err := s.Read(strings.NewReader("# a node\n\nnum.partitions = 3\nlog.dirs=/tmp/x\n")); err != nil || s["num.partitions"] != "3" || at["num.partitions"] != 3 || at["log.dirs"] != 4 {
		t.Errorf("%v, %v", s, err)
	}
	if idle := s.Idle(); !slices.Equal(idle, []string{"log.dirs"}) {
		t.Errorf("idle: %v", idle)
	}
	if _, err := s.Read(strings.NewReader("\nnum.partitions\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
}

func TestListeners(t *testing.T) {
	for _, test := range []struct {
		listeners, advertised, protocols string
		want                             []Listener
		err                              string
	}{
		{"", "", "", nil, ""},
		{"PLAINTEXT://127.0.0.1:9092", "", "", []Listener{{Name: "PLAINTEXT", Protocol: Plaintext, Address: "127.0.0.1:9092"}}, ""},
		{
			"IN://:9092,OUT://:9093", "IN://hapax:9092,OUT://localhost:9093", "IN:PLAINTEXT,OUT:SASL_SSL",
			[]Listener{{Name: "IN", Protocol: Plaintext, Address: ":9092", Advertise: "hapax:9092"}, {Name: "OUT", Protocol: SASLSSL, Address: ":9093", Advertise: "localhost:9093"}}, "",
		},
		{"", "PLAINTEXT://h:1", "", []Listener{{Name: "PLAINTEXT", Protocol: Plaintext, Address: ":9092", Advertise: "h:1"}}, ""},
		{"", "OUT://h:1", "", nil, "is none of the listeners"},
		{"PLAINTEXT://:9092", "", "", nil, "is on all addresses"},
		{"OUT://localhost:9092", "", "", nil, "speaks OUT"},
		{"localhost:9092", "", "", nil, "want NAME://HOST:PORT"},
		{"PLAINTEXT://h:1", "OUT://h:2", "", nil, "is none of the listeners"},
		{"PLAINTEXT://:9092", "PLAINTEXT://0.0.0.0:9092", "", nil, "0.0.0.0:9092 is all addresses"},
		{"PLAINTEXT://:9092", "PLAINTEXT://:9092", "", nil, "is all addresses"},
		{"PLAINTEXT://h:1,PLAINTEXT://h:2", "", "", nil, "two are called"},
		{
			"PLAINTEXT://h:1,CONTROLLER://:2", "PLAINTEXT://h:3,CONTROLLER://h:4", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
			[]Listener{{Name: "PLAINTEXT", Protocol: Plaintext, Address: "h:1", Advertise: "h:3"}}, "",
		},
	} {
		s := Settings{"controller.listener.names": "CONTROLLER", "listeners": test.listeners, "advertised.listeners": test.advertised, "listener.security.protocol.map": test.protocols}
		got, err := s.Listeners()
		if test.err == "" && (err != nil || !slices.Equal(got, test.want)) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %v, %v", test.listeners, got, err)
		}
	}
}

func TestTopicValues(t *testing.T) {
	s, err := parseSettings(Settings{"message.max.bytes": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.rules(nil).maxBatch; got != 1000 {
		t.Errorf("of the node: %d", got)
	}
	if got := s.rules(map[string]string{"max.message.bytes": "2000"}).maxBatch; got != 2000 {
		t.Errorf("of the topic: %d", got)
	}
	if got := s.topicValue(nil, "retention.ms"); got != "604800000" {
		t.Errorf("of 168 hours: %s", got)
	}
}

func TestSeats(t *testing.T) {
	here, there := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 1}
	s := newSeats(3, 2)
	for i, step := range []struct {
		from net.Addr
		want bool
	}{{here, true}, {here, true}, {here, false}, {there, true}, {there, false}} {
		if got := s.take(step.from); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	s.leave(here)
	if !s.take(there) || s.taken != 3 {
		t.Error("a seat that was left is not free")
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("listeners=A://h:1,B://[::1]:2,num.partitions=3")
	f.Add("log.retention.ms=-1")
	f.Fuzz(func(_ *testing.T, text string) {
		s := Settings{}
		if s.Set(text) == nil {
			_ = s.Check()
			_, _ = s.Listeners()
		}
		_, _ = s.Read(strings.NewReader(text))
	})
}

// The longest request always finds memory.
func TestMemoryOfLongestRequest(t *testing.T) {
	for _, test := range []struct {
		set  string
		want int64
		err  string
	}{
		{"", 512 << 20, ""},
		{"socket.request.max.bytes=1073741824", 1 << 30, ""},
		{"queued.max.request.bytes=-1,socket.request.max.bytes=1073741824", 0, ""},
		{"queued.max.request.bytes=104857600", 100 << 20, ""},
		{"queued.max.request.bytes=104857599", 0, "want socket.request.max.bytes at least, 104857600"},
	} {
		given := Settings{}
		if err := given.Set(test.set); err != nil {
			t.Fatal(err)
		}
		s, err := parseSettings(given)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v", test.set, err)
			}
		case err != nil || newMemory(s.maxQueued, s.maxRequest).most != test.want:
			t.Errorf("%s: %d, %v", test.set, s.maxQueued, err)
		}
	}
}
