package group

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

// joinRequest is one of a client that needs no round for its id.
func joinRequest() JoinRequest {
	return JoinRequest{
		Group: theGroup, Fresh: "1", ClientID: "c", SessionTimeout: 10_000, RebalanceTimeout: 60_000,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}},
	}
}

func TestJoinIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		with func(*JoinRequest, *Settings)
		want code.Error
	}{
		{"no group", func(r *JoinRequest, _ *Settings) { r.Group = "" }, code.InvalidGroupID},
		{"a group's id too long", func(r *JoinRequest, set *Settings) { r.Group, set.MaxGroupName = "hh", 1 }, code.InvalidGroupID},
		{"a session too short", func(r *JoinRequest, _ *Settings) { r.SessionTimeout = 5_999 }, code.InvalidSessionTimeout},
		{"a session too long", func(r *JoinRequest, _ *Settings) { r.SessionTimeout = 1_800_001 }, code.InvalidSessionTimeout},
		{"a member of no group", func(r *JoinRequest, _ *Settings) { r.Group, r.Member = "h", "m" }, code.UnknownMemberID},
		{"a member that is none", func(r *JoinRequest, _ *Settings) { r.Member = "m" }, code.UnknownMemberID},
		{"an instance that is none", func(r *JoinRequest, _ *Settings) { r.Member, r.Instance = "c-1", "i" }, code.UnknownMemberID},
		{"no protocol", func(r *JoinRequest, _ *Settings) { r.Group, r.Protocols = "h", nil }, code.InconsistentGroupProtocol},
		{"no protocol type", func(r *JoinRequest, _ *Settings) { r.Group, r.ProtocolType = "h", "" }, code.InconsistentGroupProtocol},
		{"another protocol type", func(r *JoinRequest, _ *Settings) { r.ProtocolType = "connect" }, code.InconsistentGroupProtocol},
		{"another protocol", func(r *JoinRequest, _ *Settings) { r.Protocols[0].Name = "sticky" }, code.InconsistentGroupProtocol},
		{"one group too many", func(r *JoinRequest, set *Settings) { r.Group, set.MaxGroups = "h", 1 }, code.PolicyViolation},
		{"one member too many", func(_ *JoinRequest, set *Settings) { set.MaxMembers = 1 }, code.GroupMaxSizeReached},
		{"too much to say", func(r *JoinRequest, set *Settings) {
			r.Protocols[0].Metadata, set.MaxGroupBytes = make([]byte, 1_000), 1_000
		}, code.PolicyViolation},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, set := joinRequest(), Defaults()
			r.Fresh = "2"
			test.with(&r, &set)
			s := New(set)
			s.Join(1, joinRequest(), 0)
			step := s.Join(2, r, 0)
			if len(step.Replies) != 1 || step.Replies[0].Ticket != 2 || step.Replies[0].Join.Code != test.want || step.Replies[0].Join.Generation != -1 {
				t.Errorf("%+v, want %v", step, test.want)
			}
			if len(s.List()) != 1 {
				t.Errorf("groups %v", s.List())
			}
		})
	}
}

// TestIDsGivenOut: whoever asks for ids and never comes back takes no room for
// long.
func TestIDsGivenOut(t *testing.T) {
	set := Defaults()
	set.MaxMembers = 2
	s := New(set)
	var got []string
	for n := range 4 {
		r := joinRequest()
		r.Version, r.Fresh = knownMembers, fmt.Sprint(n)
		step := s.Join(Ticket(n), r, 0)
		got = append(got, step.Replies[0].Join.Code.String())
	}
	if want := "MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED GROUP_MAX_SIZE_REACHED GROUP_MAX_SIZE_REACHED"; strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
	if codes, _ := s.Leave(LeaveRequest{Group: theGroup, Members: []Identity{{Member: "c-0"}, {Member: "c-9"}}}, 1); fmt.Sprint(codes) != "[NONE UNKNOWN_MEMBER_ID]" {
		t.Errorf("leave: %v", codes)
	}
	if _, next := s.Tick(9_999); next != 10_000 || len(s.List()) != 1 {
		t.Errorf("next %d, groups %v", next, s.List())
	}
	if _, next := s.Tick(10_000); next != never || len(s.List()) != 0 {
		t.Errorf("next %d, groups %v", next, s.List())
	}
}

// TestNewMemberGivesUp: a client that waits for its first reply cannot show life,
// so it has a time of its own.
func TestNewMemberGivesUp(t *testing.T) {
	set := Defaults()
	set.NewMemberTimeout = 2_000
	s := New(set)
	s.Join(1, joinRequest(), 0)
	step, _ := s.Tick(2_000)
	if len(step.Replies) != 1 || step.Replies[0].Join.Code != code.UnknownMemberID {
		t.Errorf("%+v", step)
	}
}

func TestSyncIsRefused(t *testing.T) {
	set := Defaults()
	set.InitialDelay, set.MaxGroupBytes = 0, 500
	for _, test := range []struct {
		name string
		r    SyncRequest
		want code.Error
	}{
		{"no group", SyncRequest{}, code.InvalidGroupID},
		{"no such group", SyncRequest{Group: "h", Member: "c-1", Generation: 1}, code.UnknownMemberID},
		{"no such member", SyncRequest{Group: theGroup, Member: "m", Generation: 1}, code.UnknownMemberID},
		{"another generation", SyncRequest{Group: theGroup, Member: "c-1", Generation: 2}, code.IllegalGeneration},
		{"another protocol type", SyncRequest{Group: theGroup, Member: "c-1", Generation: 1, ProtocolType: "connect"}, code.InconsistentGroupProtocol},
		{"another protocol", SyncRequest{Group: theGroup, Member: "c-1", Generation: 1, Protocol: "sticky"}, code.InconsistentGroupProtocol},
		{"too much", SyncRequest{Group: theGroup, Member: "c-1", Generation: 1, Assignments: []Assignment{{"c-1", make([]byte, 500)}}}, code.PolicyViolation},
		{"as it should be", SyncRequest{Group: theGroup, Member: "c-1", Generation: 1, ProtocolType: "consumer", Protocol: "range"}, code.None},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New(set)
			if step := s.Join(1, joinRequest(), 0); len(step.Replies) != 1 || step.Replies[0].Join.Generation != 1 {
				t.Fatalf("without a delay the first join is answered at once: %+v", step)
			}
			step := s.Sync(2, test.r, 0)
			if len(step.Replies) != 1 || step.Replies[0].Ticket != 2 || step.Replies[0].Sync.Code != test.want {
				t.Errorf("%+v, want %v", step, test.want)
			}
		})
	}
}

func TestUnknownGroups(t *testing.T) {
	s := New(Defaults())
	if d := s.Describe("h"); d.State != Dead || d.State.String() != "Dead" {
		t.Errorf("%+v", d)
	}
	if c := s.Heartbeat(HeartbeatRequest{Group: "h"}, 0); c != code.UnknownMemberID {
		t.Error(c)
	}
	if c := s.Heartbeat(HeartbeatRequest{}, 0); c != code.InvalidGroupID {
		t.Error(c)
	}
	for name, want := range map[string]code.Error{"": code.InvalidGroupID, "h": code.UnknownMemberID} {
		if codes, _ := s.Leave(LeaveRequest{Group: name, Members: []Identity{{Member: "m"}}}, 0); codes[0] != want {
			t.Errorf("leave %q: %v", name, codes)
		}
	}
	for name, want := range map[string]code.Error{"": code.InvalidGroupID, "h": code.GroupIDNotFound} {
		if c, e := s.DecideDelete(name); c != want || e != nil {
			t.Errorf("delete %q: %v %v", name, c, e)
		}
	}
	if got := fetchAll(s, "h", true); got != nil {
		t.Error(got)
	}
}

// TestManyGroups: each is looked at in its time, however many there are.
func TestManyGroups(t *testing.T) {
	s := New(Defaults())
	for n := range 100 {
		r := joinRequest()
		r.Group = fmt.Sprintf("g%02d", n)
		s.Join(Ticket(n), r, int64(n*37%100))
	}
	answered := 0
	for now := s.Next(); now < 5_000; now = s.Next() {
		step, _ := s.Tick(now)
		for _, r := range step.Replies {
			if want := int64(r.Ticket*37%100) + 3_000; want != now {
				t.Errorf("ticket %d is answered at %d, not at %d", r.Ticket, now, want)
			}
			answered++
		}
	}
	if answered != 100 || len(s.List()) != 100 || s.List()[99].Group != "g99" {
		t.Errorf("%d of 100 answered", answered)
	}
}

// TestAwaySinceItJoined: a static member that joined, never synced, and is away
// for the next generation has its session, and not the wait for that one's syncs.
func TestAwaySinceItJoined(t *testing.T) {
	set := Defaults()
	set.InitialDelay = 0
	s := New(set)
	join := func(ticket Ticket, member, instance string, now int64) {
		r := joinRequest()
		r.Member, r.Instance, r.SessionTimeout, r.RebalanceTimeout = member, instance, 100_000, 5_000
		s.Join(ticket, r, now)
	}
	members := func() (ids []string) {
		for _, m := range s.Describe(theGroup).Members {
			ids = append(ids, m.ID)
		}
		return ids
	}
	join(1, "", "a", 0)
	join(2, "", "b", 0)
	join(3, "a-1", "a", 0) // both are in generation 2, and b goes away
	join(4, "a-1", "a", 1_000)
	s.Sync(5, SyncRequest{Group: theGroup, Member: "a-1", Generation: 2}, 1_000)
	join(6, "a-1", "a", 1_000)
	s.Tick(6_000) // a is in generation 3
	s.Sync(7, SyncRequest{Group: theGroup, Member: "a-1", Generation: 3}, 6_000)
	s.Tick(99_999)
	if got := fmt.Sprint(s.Describe(theGroup).State, members()); got != "Stable [a-1 b-1]" {
		t.Error(got)
	}
	s.Tick(100_000)
	if got := fmt.Sprint(members()); got != "[a-1]" {
		t.Error(got)
	}
}
