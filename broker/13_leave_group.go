package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// LeaveGroup (13), versions 0 to 5: members go.
//
//	3  several at once, static ones by their instance
//	4  flexible
//	5  why
func (c *conn) leaveGroup(_ context.Context, req *kmsg.LeaveGroupRequest) answer {
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	asked := group.LeaveRequest{Group: strings.Clone(req.Group)}
	if req.Version < 3 {
		asked.Members = []group.Identity{{Member: strings.Clone(req.MemberID)}}
	}
	for i := range req.Members {
		m := &req.Members[i]
		asked.Members = append(asked.Members, group.Identity{Member: strings.Clone(m.MemberID), Instance: text(m.InstanceID)})
	}
	var codes []code.Error
	end, err := c.b.groups.step(func(g *group.Groups, now int64) (step group.Step) {
		codes, step = g.Leave(asked, now)
		return step
	})
	return c.b.whenDurable(resp, end, err, func(err error) {
		switch {
		case err != nil:
			resp.ErrorCode = int16(codeOf(err))
			return
		case len(codes) < len(asked.Members):
			resp.ErrorCode = int16(codes[0]) // of the group
			return
		case req.Version < 3:
			resp.ErrorCode = int16(codes[0])
			return
		}
		for i, m := range asked.Members {
			left := kmsg.NewLeaveGroupResponseMember()
			left.MemberID, left.InstanceID, left.ErrorCode = m.Member, textOrNil(m.Instance), int16(codes[i])
			resp.Members = append(resp.Members, left)
		}
	})
}
