package console

import "net/http"

// SignIn is how people sign in.
type SignIn struct {
	// Secure says that browsers reach the console by HTTPS.
	Secure bool
}

// signedIn returns the session of whoever has signed in. If ok is false, the request has been
// answered.
func (s *console) signedIn(http.ResponseWriter, *http.Request) (session Session, ok bool) {
	return Session{}, false
}
