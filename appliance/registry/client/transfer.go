package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"

	"islet/appliance/registry/content"
)

// Manifest returns a manifest by tag or digest, and its type.
func (c *Client) Manifest(ctx context.Context, name, reference string) (raw []byte, mediaType string, err error) {
	resp, err := c.do(ctx, http.MethodGet, target(name, "manifests/"+reference, nil), nil, nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, content.MaxManifest+1))
	return raw, resp.Header.Get("Content-Type"), err
}

// Blob streams a blob, which the caller verifies and closes.
func (c *Client) Blob(ctx context.Context, name string, d digest.Digest) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, target(name, "blobs/"+string(d), nil), nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// HasBlob says whether a push can do without the blob.
func (c *Client) HasBlob(ctx context.Context, name string, d digest.Digest) (bool, error) {
	resp, err := c.do(ctx, http.MethodHead, target(name, "blobs/"+string(d), nil), nil, nil)
	if errors.Is(err, content.ErrUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, resp.Body.Close()
}

// PutBlob uploads a blob of the given size.
func (c *Client) PutBlob(ctx context.Context, name string, d digest.Digest, size int64, from io.Reader) error {
	resp, err := c.do(ctx, http.MethodPost, target(name, "blobs/uploads/", nil), nil, nil)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	at, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return fmt.Errorf("the registry names a bad place for an upload: %w", err)
	}
	query := at.Query()
	query.Set("digest", string(d))
	resp, err = c.do(ctx, http.MethodPut, at.Path+"?"+query.Encode(), from, http.Header{
		"Content-Type": {"application/octet-stream"}, "Content-Length": {strconv.FormatInt(size, 10)},
	})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// PutManifest uploads a manifest under a tag or its digest, and returns how many servers hold it then.
func (c *Client) PutManifest(ctx context.Context, name, reference, mediaType string, raw []byte) (copies int, err error) {
	resp, err := c.do(ctx, http.MethodPut, target(name, "manifests/"+reference, nil), bytes.NewReader(raw), http.Header{"Content-Type": {mediaType}})
	if err != nil {
		return 0, err
	}
	copies, err = strconv.Atoi(resp.Header.Get(CopiesHeader))
	if err != nil {
		copies = 1 // it did not say
	}
	return copies, resp.Body.Close()
}

// Delete removes a tag, or by its digest a manifest with its tags.
func (c *Client) Delete(ctx context.Context, name, reference string) error {
	resp, err := c.do(ctx, http.MethodDelete, target(name, "manifests/"+reference, nil), nil, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// target is the path of something in a repository. The host part of its name goes as containerd sends it.
func target(name, below string, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	host, path := content.SplitName(name)
	query.Set("ns", host)
	return "/v2/" + path + "/" + below + "?" + query.Encode()
}
