package relay

import (
	"errors"
	"net/url"
)

// validOrigin reports why o is not "*" or an origin as RFC 6454, section 6.2,
// serializes it, which is how browsers send it and how it is compared.
func validOrigin(o string) error {
	if o == "*" || o == "null" {
		return nil
	}
	u, err := url.Parse(o)
	if err != nil {
		return err
	}
	if u.Scheme == "" || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("an origin is written like https://example.com, or *")
	}
	return nil
}
