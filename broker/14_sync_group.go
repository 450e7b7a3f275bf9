package broker

import (
	"bytes"
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/group"
)

// SyncGroup (14), versions 0 to 5: members get what the leader gave them. They are
// answered when it has.
//
//	3  static members
//	4  flexible
//	5  the type and name of the protocol
func (c *conn) syncGroup(_ context.Context, req *kmsg.SyncGroupRequest) answer {
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	asked := group.SyncRequest{
		Group: strings.Clone(req.Group), Member: strings.Clone(req.MemberID), Instance: text(req.InstanceID),
		Generation: req.Generation, ProtocolType: text(req.ProtocolType), Protocol: text(req.Protocol),
	}
	for i := range req.GroupAssignment {
		a := &req.GroupAssignment[i]
		asked.Assignments = append(asked.Assignments, group.Assignment{Member: strings.Clone(a.MemberID), Bytes: bytes.Clone(a.MemberAssignment)})
	}
	answered := c.b.groups.park(func(g *group.Groups, ticket group.Ticket, now int64) group.Step {
		return g.Sync(ticket, asked, now)
	})
	return c.b.whenDelivered(resp, answered, func(d delivery) {
		if d.err != nil {
			resp.ErrorCode = int16(codeOf(d.err))
			return
		}
		s := d.Reply.Sync
		resp.ErrorCode, resp.MemberAssignment = int16(s.Code), s.Assignment
		resp.ProtocolType, resp.Protocol = textOrNil(s.ProtocolType), textOrNil(s.Protocol)
	})
}
