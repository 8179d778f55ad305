package httpapi

import "testing"

// FuzzCursor decodes any text as a cursor. What is accepted is exactly the cursor of the
// position in it: a cursor has one spelling, and contains nothing but the position.
func FuzzCursor(f *testing.F) {
	f.Add("AQAAAZ9NeByjAAECAwQFBgcICQoLDA0ODw")
	f.Add("AQAAAZ9NeByjAAECAwQFBgcICQoLDA0ODx") // stray bits at the end
	f.Add("AQAAAZ9NeByjAAEC\nAwQFBgcICQoLDA0ODw")
	f.Add("")
	f.Add("AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := decodeCursor(text)
		if err != nil {
			return
		}
		again, err := encodeCursor(p)
		if err != nil || again != text {
			t.Errorf("the cursor %q is for %+v, whose cursor is %q, %v", text, p, again, err)
		}
	})
}
