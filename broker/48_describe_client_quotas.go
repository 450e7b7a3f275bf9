package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// DescribeClientQuotas (48), versions 0 and 1: how much clients may do. There are no
// quotas; tools that describe users ask for them too.
//
//	1  flexible
func describeClientQuotas(_ *conn, req *kmsg.DescribeClientQuotasRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	return ready(resp)
}
