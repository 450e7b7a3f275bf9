package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// DescribeAcls (29), versions 1 to 3: there are none, and the answer is what Kafka
// says without an authorizer.
//
//	2  flexible
func describeACLs(_ *conn, req *kmsg.DescribeACLsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeACLsResponse)
	err := refuse(code.SecurityDisabled, "there are no ACLs here: who may connect may do everything")
	resp.ErrorCode, resp.ErrorMessage = int16(codeOf(err)), messageOf(err)
	return ready(resp)
}
