// Package accesstoken verifies access tokens as API Gateway's JWT authorizer does
// ("Control access to HTTP APIs with JWT authorizers"), for code that does not run behind
// such an authorizer: the local gateway, and a function behind a Function URL.
//
// [Verifier.Verify] takes a token through these steps, each of which may refuse it:
//
//	form and algorithm   RSA with SHA-256, 384 or 512, nothing else
//	key                  the issuer's own, by the token's kid (keys.go)
//	signature
//	claims               issuer, times, audience (claims.go)
//
// Whatever else is required of a token, such as a scope, is checked by the caller, on its
// [Claims]. Neither an error nor a log line ever contains any part of a token.
package accesstoken

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Config says whose tokens are accepted.
type Config struct {
	// Issuer is the URL that a token's iss must equal exactly. The issuer's keys are found
	// through <Issuer>/.well-known/openid-configuration.
	Issuer string
	// Signer is the URL of another issuer whose keys sign the tokens in its place, as one
	// for development does; empty means Issuer itself.
	Signer string
	// Audience lists the accepted audiences; a token must name at least one.
	Audience []string
	// Client fetches the keys; nil means http.DefaultClient.
	Client *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets a line each time the keys can't be fetched, which is at most once a second,
	// however many tokens there are; nil means no log.
	Log *slog.Logger
}

// Verifier verifies the tokens of one issuer. It is safe for concurrent use. It caches the
// issuer's keys, so keep it.
type Verifier struct {
	issuer   string
	audience []string
	now      func() time.Time
	parser   *jwt.Parser
	keys     *keys
}

// New returns a Verifier. It fetches nothing yet.
func New(c Config) *Verifier {
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of a clock that can be passed in
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Verifier{
		issuer: c.Issuer, audience: c.Audience, now: c.Now,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{"RS256", "RS384", "RS512"}), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
			jwt.WithoutClaimsValidation(), // API Gateway has rules of its own
		),
		keys: &keys{issuer: cmp.Or(c.Signer, c.Issuer), client: c.Client, now: c.Now, log: c.Log},
	}
}

// InvalidError reports that a token is not valid.
type InvalidError struct {
	// Description is for the error_description of a challenge (RFC 6750, section 3).
	Description string
}

func (e *InvalidError) Error() string { return "invalid access token: " + e.Description }

// Bearer returns the token in the value that it is sent in: the token alone, or "Bearer ",
// in any case (RFC 9110, section 11.1), and the token. It returns "" if there is none.
// Repeated values are joined, as in an event, and are then not a valid token.
//
// AWS documents no case for "Bearer" at API Gateway.
func Bearer(values ...string) string {
	const scheme = "Bearer "
	value := strings.Join(values, ",")
	if len(value) >= len(scheme) && strings.EqualFold(value[:len(scheme)], scheme) {
		return value[len(scheme):]
	}
	return value
}

// Issuer returns the issuer that a token names, which nobody has verified yet; empty if
// there is none.
func Issuer(raw string) string {
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		return ""
	}
	issuer, _ := claims["iss"].(string)
	return issuer
}

// Verify returns the claims of a token that is valid now. The error is an [*InvalidError]
// if it is not, a [*KeysError] if the issuer's keys can't be fetched, and otherwise the
// context's.
func (v *Verifier) Verify(ctx context.Context, raw string) (Claims, error) {
	if strings.ContainsAny(raw, "\r\n") { // base64's decoder ignores them
		return nil, &InvalidError{Description: describe(jwt.ErrTokenMalformed)}
	}
	claims := jwt.MapClaims{}
	var keyErr error
	_, err := v.parser.ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if _, ok := t.Header["crit"]; ok || kid == "" {
			// No extension that must be understood (RFC 7515, section 4.1.11) is.
			keyErr = unknownKey()
			return nil, keyErr
		}
		key, err := v.keys.find(ctx, kid)
		keyErr = err
		return key, err
	})
	switch {
	case keyErr != nil:
		return nil, keyErr
	case err != nil:
		return nil, &InvalidError{Description: describe(err)}
	}
	if wrong := v.wrong(Claims(claims)); wrong != "" {
		return nil, &InvalidError{Description: wrong}
	}
	return Claims(claims), nil
}

func unknownKey() error {
	return &InvalidError{Description: "the token is not signed with a key of the issuer"}
}

// describe says what is wrong with a token's form. The library's own texts could contain
// parts of it.
func describe(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "the token is malformed"
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return "the token has no supported signing method"
	default:
		return "the token does not have a valid signature"
	}
}
