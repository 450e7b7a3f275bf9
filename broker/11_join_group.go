package broker

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/group"
)

// JoinGroup (11), versions 0 to 9: a member comes, or comes again. It is answered
// when all members have joined, or the time for it is over.
//
//	1  rebalance timeout
//	4  a new member is given its id first (KIP-394)
//	5  static members (KIP-345)
//	6  flexible
//	7  the group's type of protocol
//	9  a leader may skip the assignment (KIP-814)
func (c *conn) joinGroup(_ context.Context, req *kmsg.JoinGroupRequest) answer {
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	fresh := newID()
	asked := group.JoinRequest{
		Version: req.Version, Group: strings.Clone(req.Group), Member: strings.Clone(req.MemberID), Instance: text(req.InstanceID),
		Fresh: hex.EncodeToString(fresh[:]), ClientID: c.client, ClientHost: hostOf(c.net.RemoteAddr()),
		SessionTimeout: req.SessionTimeoutMillis, RebalanceTimeout: req.RebalanceTimeoutMillis,
		ProtocolType: strings.Clone(req.ProtocolType),
	}
	if req.Version == 0 {
		asked.RebalanceTimeout = -1
	}
	for i := range req.Protocols {
		p := &req.Protocols[i]
		asked.Protocols = append(asked.Protocols, group.Protocol{Name: strings.Clone(p.Name), Metadata: bytes.Clone(p.Metadata)})
	}
	answered := c.b.groups.park(func(g *group.Groups, ticket group.Ticket, now int64) group.Step {
		return g.Join(ticket, asked, now)
	})
	return c.b.whenDelivered(resp, answered, func(d delivery) {
		if d.err != nil {
			resp.ErrorCode, resp.Generation = int16(codeOf(d.err)), -1
			return
		}
		fillJoin(resp, d.Join)
	})
}

func fillJoin(resp *kmsg.JoinGroupResponse, j *group.JoinReply) {
	resp.ErrorCode, resp.Generation = int16(j.Code), j.Generation
	resp.LeaderID, resp.MemberID, resp.SkipAssignment = j.Leader, j.Member, j.SkipAssignment
	if j.Protocol != "" || resp.Version < 7 {
		resp.Protocol = &j.Protocol
	}
	if j.ProtocolType != "" {
		resp.ProtocolType = &j.ProtocolType
	}
	for _, m := range j.Members {
		member := kmsg.NewJoinGroupResponseMember()
		member.MemberID, member.InstanceID, member.ProtocolMetadata = m.ID, textOrNil(m.Instance), m.Metadata
		resp.Members = append(resp.Members, member)
	}
}

// whenDelivered is an answer that is filled in when a parked request is answered.
func (b *Broker) whenDelivered(resp kmsg.Response, answered <-chan delivery, fill func(delivery)) answer {
	return answer{response: resp, wait: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case d := <-answered:
			if d.err == nil {
				d.err = b.wal.Sync(d.end)
			}
			fill(d)
			return nil
		}
	}}
}

// text is a copy of a nullable string, "" for null.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return strings.Clone(*s)
}

// textOrNil is its reverse.
func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		host = a.String()
	}
	return "/" + host // as Kafka shows it
}
