package runtimeapi

import (
	"encoding/json"
	"net/http"

	"paylane/shared/emulator/internal/aws"
)

const extensionIdentifier = "Lambda-Extension-Identifier"

// register makes the function's process an extension of itself, which only changes how it
// ends. No events are delivered, so registering for any is refused: INVOKE is not
// supported here, and SHUTDOWN not on Lambda for an extension inside the function.
func (e *environment) register(w http.ResponseWriter, r *http.Request) {
	var wish struct {
		Events []string `json:"events"`
	}
	payload, err := read(r.Body)
	if err == nil {
		err = json.Unmarshal(payload, &wish)
	}
	switch {
	case r.Header.Get("Lambda-Extension-Name") == "":
		answer(w, http.StatusForbidden, fault{"Empty extension name", "Extension.InvalidExtensionName"})
		return
	case err != nil:
		answer(w, http.StatusForbidden, fault{err.Error(), "InvalidRequestFormat"})
		return
	case len(wish.Events) > 0:
		answer(w, http.StatusForbidden, fault{wish.Events[0] + ": events are not supported", "Extension.InvalidEventType"})
		return
	}
	c := &e.function.config
	e.mu.Lock()
	open := e.state == started
	if open && e.extension == "" {
		e.extension = aws.UUID(c.Random)
	}
	w.Header().Set(extensionIdentifier, e.extension)
	e.mu.Unlock()
	if !open {
		answer(w, http.StatusForbidden, fault{"Extension registration closed already", "Extension.RegistrationClosed"})
		return
	}
	answer(w, http.StatusOK, map[string]string{
		"functionName": c.Name, "functionVersion": aws.Version, "handler": c.Handler,
	})
}

// extensionEvent never answers a registered extension, since there are no events.
func (e *environment) extensionEvent(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	extension := e.extension
	e.mu.Unlock()
	if given := r.Header.Get(extensionIdentifier); given == "" || given != extension {
		answer(w, http.StatusForbidden, fault{"Unknown extension " + given, "Extension.UnknownExtensionIdentifier"})
		return
	}
	<-r.Context().Done()
}
