package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslAuthenticate (36), versions 0 to 2: a token of the mechanism that the handshake
// named.
//
//	1  for how long the user may stay without logging in again
//	2  flexible
func saslAuthenticate(ctx context.Context, c *conn, req *kmsg.SASLAuthenticateRequest) answer {
	resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	reply, err := logIn(ctx, c, req.SASLAuthBytes)
	resp.SASLAuthBytes = reply
	if resp.ErrorCode, resp.ErrorMessage = int16(codeOf(err)), messageOf(err); err == nil {
		resp.SessionLifetimeMillis = c.login.lifetime()
	}
	return ready(resp)
}
