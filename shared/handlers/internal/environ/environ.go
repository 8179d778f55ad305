// Package environ describes the environment variables that several functions read, each
// name once, and parses a function's environment.
package environ

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// OrdersTable is the table of orders.
type OrdersTable struct {
	Name string `env:"ORDERS_TABLE,required,notEmpty"`
}

// PaymentQueue is the queue of the payment function.
type PaymentQueue struct {
	URL string `env:"PAYMENT_QUEUE_URL,required,notEmpty"`
}

// Variable is the variable's name.
func (PaymentQueue) Variable() string { return "PAYMENT_QUEUE_URL" }

// WebhookQueue is the queue of the webhook function.
type WebhookQueue struct {
	URL string `env:"WEBHOOK_QUEUE_URL,required,notEmpty"`
}

// Variable is the variable's name.
func (WebhookQueue) Variable() string { return "WEBHOOK_QUEUE_URL" }

// PaymentGateway has no default: whether money moves is not to be guessed.
type PaymentGateway struct {
	Name string `env:"GATEWAY,required,notEmpty"`
}

// TenantClaim is the verified claim of an access token that names the tenant.
type TenantClaim struct {
	Name string `env:"TENANT_CLAIM" envDefault:"client_id"`
}

// Auth decides whether callers must present access tokens.
type Auth struct {
	// Mode is jwt or none.
	Mode string `env:"AUTH_MODE" envDefault:"jwt"`
}

// Required reports whether callers must present access tokens. The error is that the mode
// is not one.
func (a Auth) Required() (bool, error) {
	if a.Mode != "jwt" && a.Mode != "none" {
		return false, fmt.Errorf("AUTH_MODE must be jwt or none, not %q", a.Mode)
	}
	return a.Mode == "jwt", nil
}

// Issuer is whose access tokens a function that verifies them itself accepts.
type Issuer struct {
	URL      string `env:"ISSUER"`
	Audience List   `env:"AUDIENCE"`
}

// Check reports what is missing if tokens are required.
func (i Issuer) Check() error {
	if i.URL == "" || len(i.Audience) == 0 {
		return errors.New("AUTH_MODE jwt needs ISSUER and AUDIENCE")
	}
	return nil
}

// List is text separated by commas; spaces around the parts are not significant.
type List []string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	for part := range strings.SplitSeq(string(text), ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

// Positive is a whole number of at least 1.
type Positive int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Positive) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a whole number of at least 1", text)
	}
	*p = Positive(n)
	return nil
}

// Seconds is a time in whole seconds, of 0 or more.
type Seconds time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Seconds) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 31)
	if err != nil {
		return fmt.Errorf("%q is not a number of whole seconds", text)
	}
	*s = Seconds(time.Duration(n) * time.Second)
	return nil
}

// Parse reads an environment into a struct of such variables. The error names every
// variable that is missing, and every field that is malformed.
func Parse[T any](variables map[string]string) (T, error) {
	parsed, err := env.ParseAsWithOptions[T](env.Options{Environment: variables})
	if err != nil {
		err = fmt.Errorf("read the environment: %w", err)
	}
	return parsed, err
}
