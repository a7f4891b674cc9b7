package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// clientTimeout bounds the client commands.
const clientTimeout = 10 * time.Second

// fetch prints what url answers; another status than 2xx is an error.
func fetch(ctx context.Context, url string, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("fetch %s: %s", url, response.Status)
	}
	return nil
}

// lookup prints the addresses of a name, one a line.
func lookup(ctx context.Context, name string, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	for _, address := range addresses {
		fmt.Fprintln(stdout, address)
	}
	return err
}
