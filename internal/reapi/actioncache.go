package reapi

import (
	"context"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/grpc/codes"
)

// Result looks an action's result up; nil without an error if there is none.
// Files in inline may come along in the answer: nothing vouches for their bytes
// but the digests beside them.
func (c *Client) Result(ctx context.Context, action Digest, inline ...string) (*repb.ActionResult, error) {
	var r *repb.ActionResult
	err := c.ask(ctx, "looking a result up", func(ctx context.Context) (err error) {
		r, err = repb.NewActionCacheClient(c.calls).GetActionResult(ctx, &repb.GetActionResultRequest{
			InstanceName: c.instance, ActionDigest: action.Proto(), InlineOutputFiles: inline})
		if code(err) == codes.NotFound {
			r, err = nil, nil
		}
		return err
	})
	return r, err
}

// UpdateResult puts an action's result on record. The blobs it names must have
// been uploaded.
func (c *Client) UpdateResult(ctx context.Context, action Digest, r *repb.ActionResult) error {
	return c.ask(ctx, "storing a result", func(ctx context.Context) error {
		_, err := repb.NewActionCacheClient(c.calls).UpdateActionResult(ctx, &repb.UpdateActionResultRequest{
			InstanceName: c.instance, ActionDigest: action.Proto(), ActionResult: r})
		return err
	})
}
