package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// operator is how a command asks a node over HTTP.
type operator struct {
	Broker    string `placeholder:"[https://]ADDR" default:"127.0.0.1:8080" help:"Where the node serves HTTP: --http of hapax serve (default 127.0.0.1:8080)."`
	HTTPToken string `name:"http-token" placeholder:"FILE" help:"A file with the token that the node wants: --http-token of hapax serve."`
	CA        string `name:"ca" placeholder:"FILE" help:"A file of PEM with the certificates that the node's is to be checked by (default: the system's)."`
}

// mostAnswered is how many bytes of an answer are read.
const mostAnswered = 256 << 20

// ask is the JSON that a path is answered with. The path is escaped.
func (o *operator) ask(w *world, path string, query url.Values) ([]byte, error) {
	base, err := o.base()
	if err != nil {
		return nil, err
	}
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Minute)
	defer cancel()
	address := base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, usage("--broker %s: %w", o.Broker, err)
	}
	if o.HTTPToken != "" {
		token, err := readToken(o.HTTPToken)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, o.unreached(base, err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswered))
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", base, err)
	}
	return body, o.refused(base, answer, body)
}

// base is the scheme and the address.
func (o *operator) base() (string, error) {
	scheme, address, ok := strings.Cut(o.Broker, "://")
	if !ok {
		scheme, address = "http", o.Broker
	}
	host, _, err := net.SplitHostPort(address)
	switch {
	case scheme != "http" && scheme != "https" || err != nil || strings.ContainsAny(address, "/?#@"):
		return "", usage("--broker %s: want HOST:PORT, or https://HOST:PORT", o.Broker)
	case scheme == "http" && o.HTTPToken != "" && !loopback(host):
		return "", usage("--broker %s: the token could be read on its way: say https://%s", o.Broker, address)
	}
	return scheme + "://" + address, nil
}

func (o *operator) client() (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if o.CA != "" {
		pool, err := certificates(o.CA)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: stay}, nil
}

// unreached is why there is no answer, and what to do.
func (o *operator) unreached(base string, err error) error {
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err // without the whole address, which has the id in it
	}
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("ask %s: %w: is hapax serve running, with --http there?", base, err)
	case unknown:
		return fmt.Errorf("ask %s: %w: name a file with it, --ca FILE", base, err)
	case strings.Contains(err.Error(), "gave HTTP response to HTTPS"):
		return fmt.Errorf("ask %s: %w: leave out https://", base, err)
	}
	return fmt.Errorf("ask %s: %w", base, err)
}

// refused is what a node answers that does not answer the question.
func (o *operator) refused(base string, answer *http.Response, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 1000)]))
	var told struct{ Error string }
	_ = json.Unmarshal(body, &told) // others answer otherwise
	switch {
	case answer.StatusCode == http.StatusOK && json.Valid(body):
		return nil
	case answer.StatusCode == http.StatusUnauthorized && o.HTTPToken == "":
		return fmt.Errorf("%s wants a token: give --http-token FILE", base)
	case answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s wants another token than that of --http-token %s", base, o.HTTPToken)
	case strings.Contains(text, "HTTP request to an HTTPS server"):
		return fmt.Errorf("%s speaks TLS: give --broker https://…", base)
	case answer.StatusCode == http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Errorf("%s: the id is too long to be asked about", base)
	case told.Error != "":
		return errors.New(told.Error)
	case text == "" || strings.Contains(text, "404 page not found") || answer.StatusCode < 400:
		return fmt.Errorf("%s answers %q: is it where hapax serve has its --http?", base, answer.Status)
	}
	return errors.New(text)
}
