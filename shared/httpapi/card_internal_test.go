package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
)

// TestCardRates counts how many of 100,000 random texts of each kind are refused, although
// none is meant as a card number: none at all but among bare digits of a card number's
// length, and of those as many as have an issuer's prefix and pass the Luhn check by chance.
func TestCardRates(t *testing.T) {
	t.Parallel()
	const n = 100_000
	random := rand.New(rand.NewChaCha8([32]byte{12}))
	bytesOf := func(size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	of := func(alphabet string, length int) string {
		b := make([]byte, length)
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	digits := func(length int) string { return of("0123456789", length) }
	letters := func(length int) string { return of("ABCDEFGHIJKLMNOPQRSTUVWXYZ", length) }
	id := func(version byte) string {
		u := uuid.UUID(bytesOf(16))
		if version == 7 {
			ms := uint64(1_700_000_000_000 + random.Int64N(1e12))
			for i := range 6 {
				u[i] = byte(ms >> (40 - 8*i))
			}
		}
		u[6], u[8] = u[6]&0x0f|version<<4, u[8]&0x3f|0x80
		return u.String()
	}
	at := func() time.Time { return time.UnixMilli(1_500_000_000_000 + random.Int64N(7e11)).UTC() }
	account := func() string {
		country := []struct{ code, bank string }{{"DE", digits(18)}, {"GB", letters(4) + digits(14)}, {"FR", digits(20) + letters(1) + digits(2)}, {"NL", letters(4) + digits(10)}, {"AT", digits(16)}, {"NO", digits(11)}, {"PL", digits(24)}}[random.IntN(7)]
		check := 98 - mod97([]byte(country.bank+country.code+"00"))
		return fmt.Sprintf("%s%02d%s", country.code, check, country.bank)
	}
	printed := func(text string) string { // in groups of four
		return strings.TrimSpace(regexp.MustCompile(".{1,4}").ReplaceAllString(text, "$0 "))
	}
	bare := func(length int) func() string { return func() string { return digits(length) } }

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "kind\texample\trefused\trate\tcomputed")
	for _, kind := range []struct {
		name     string
		make     func() string
		computed float64
	}{
		{"UUIDv4", func() string { return id(4) }, 0},
		{"UUIDv4, upper case", func() string { return strings.ToUpper(id(4)) }, 0},
		{"UUIDv4, no dashes", func() string { return strings.ReplaceAll(id(4), "-", "") }, 0},
		{"UUIDv4, digits only", func() string {
			return digits(8) + "-" + digits(4) + "-4" + digits(3) + "-8" + digits(3) + "-" + digits(12)
		}, 0},
		{"UUIDv7", func() string { return id(7) }, 0},
		{"UUIDs in a text", func() string { return "from " + id(4) + " to " + id(7) }, 0},
		{"ULID", func() string { return "01" + of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24) }, 0},
		{"SHA-256 in hex", func() string { sum := sha256.Sum256(bytesOf(8)); return hex.EncodeToString(sum[:]) }, 0},
		{"Git commit, 16 digits of it", func() string { return "a" + of("0123456789abcdef", 15) }, 0},
		{"Base64 of 32 bytes", func() string { return base64.StdEncoding.EncodeToString(bytesOf(32)) }, 0},
		{"EAN-13", bare(13), 0},
		{"GTIN-14 in parentheses", func() string { return "(01)" + "0" + digits(13) }, 0},
		{"SSCC of 20 digits", bare(20), 0},
		{"IBAN", account, 0},
		{"IBAN, printed", func() string { return printed(account()) }, 0},
		{"IBAN in a text", func() string { return "to " + printed(account()) + " by 12/27, thanks" }, 0},
		{"time in s", func() string { return strconv.FormatInt(at().Unix(), 10) }, 0},
		{"time in ms", func() string { return strconv.FormatInt(at().UnixMilli(), 10) }, 0},
		{"time in µs, to 2039", func() string { return strconv.FormatInt(at().UnixMicro(), 10) }, 0},
		{"time in ns", func() string { return strconv.FormatInt(at().UnixNano(), 10) }, 0},
		{"time, RFC 3339", func() string { return at().Format(time.RFC3339Nano) }, 0},
		{"time in 14 digits", func() string { return at().Format("20060102150405") }, 0},
		{"time in 17 digits", func() string { return strings.Replace(at().Format("20060102150405.000"), ".", "", 1) }, 0},
		{"order ORD-8-8", func() string { return "ORD-" + digits(8) + "-" + digits(8) }, 0},
		{"order ORD-4-4-4-4", func() string { return "ORD-" + digits(4) + "-" + digits(4) + "-" + digits(4) + "-" + digits(4) }, 0},
		{"order ORD16", func() string { return "ORD" + digits(16) }, 0},
		{"order ord_16", func() string { return "ord_" + digits(16) }, 0},
		{"order 16-A", func() string { return digits(16) + "-" + letters(1) }, 0},
		{"order 4-4-4-4-4", func() string {
			return digits(4) + "-" + digits(4) + "-" + digits(4) + "-" + digits(4) + "-" + digits(4)
		}, 0},
		{"order 2026-12", func() string { return "2026-" + digits(12) }, 0},
		{"order 3-7-7", func() string { return digits(3) + "-" + digits(7) + "-" + digits(7) }, 0},
		{"tracking 22 in groups", func() string { return printed("9400" + digits(18)) }, 0},
		{"phone", func() string { return "+82 10 " + digits(4) + " " + digits(4) }, 0},
		{"fraction", func() string { return strconv.FormatFloat(random.Float64()+0.1, 'f', 17, 64) }, 0},
		{"14 digits", bare(14), chance(14)},
		{"15 digits", bare(15), chance(15)},
		{"16 digits", bare(16), chance(16)},
		{"17 digits", bare(17), chance(17)},
		{"18 digits", bare(18), chance(18)},
		{"19 digits", bare(19), chance(19)},
		{"16 digits, 4-4-4-4", func() string { return printed(digits(16)) }, chance(16)},
	} {
		refused := 0
		for range n {
			if holdsCard(kind.make()) {
				refused++
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.3f %%\t%.3f %%\n", kind.name, kind.make(), refused, 100*float64(refused)/n, 100*kind.computed)
		spread := 5 * math.Sqrt(n*kind.computed*(1-kind.computed))
		if math.Abs(float64(refused)-n*kind.computed) > spread {
			t.Errorf("%s: %d of %d are refused, want %.0f ± %.0f", kind.name, refused, n, n*kind.computed, spread)
		}
	}
	_ = w.Flush()
	t.Log("\n" + table.String())
}

// chance is how many of all numbers of a length have an issuer's prefix and pass the Luhn
// check, which one in ten does, whatever is before the last digit.
func chance(length int) float64 {
	number := []byte(strings.Repeat("0", length))
	hits := 0
	for prefix := range 10_000 {
		copy(number, fmt.Sprintf("%04d", prefix))
		if issued(number) {
			hits++
		}
	}
	return float64(hits) / 10_000 / 10
}

// TestDocumentedRates holds the text in the document to the computed rates.
func TestDocumentedRates(t *testing.T) {
	sentence := fmt.Sprintf("about 1 in %.0f, %.0f and %.0f", 1/chance(14), 1/chance(16), 1/chance(19))
	if !strings.Contains(aboutCards, sentence) {
		t.Errorf("the document does not say %q", sentence)
	}
}

// TestHoldsCard compares the scan with the slow one on texts that are put together from
// pieces of numbers.
func TestHoldsCard(t *testing.T) {
	pieces := []string{
		"4111", "1111", "1111", "1111", "4111111111111111", "4111 1111 1111 1111", "3782", "822463", "10005", "12", "0", "302", "0000000", "0000005",
		"DE89", "3704", "0044", "0532", "0130", "00", "GB82", "WEST", " ", " ", " ", " ", "-", "-", "_", "x", "A", ".", "/", "  ", "–", "４", "\u200b", "é", "는",
	}
	random := rand.New(rand.NewChaCha8([32]byte{1}))
	found := 0
	for range 3_000 {
		text := ""
		for range 4 + random.IntN(8) {
			text += pieces[random.IntN(len(pieces))]
			if random.IntN(2) == 0 {
				text += " "
			}
		}
		got, want := holdsCard(text), slowlyHoldsCard(text)
		if got != want {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
		if got {
			found++
		}
	}
	if found < 200 || found > 2_800 {
		t.Errorf("%d of 3,000 texts have a card number, which tries only one side", found)
	}
}

// FuzzHoldsCard compares the scan with every window of the text, looked at by expressions.
func FuzzHoldsCard(f *testing.F) {
	for _, text := range []string{
		"4111111111111111", "4111 1111 1111 1111", "4111-1111 1111-1111", "x4111111111111111", "ORD-4111-1111-1111-1111", "4111111111111111-x",
		"card 3782 822463 10005 exp 12/27", "4111 1111 1111 1111 123", "12 4111 1111 1111 1111", "4111 1111 1111 1111 1111", "0.4111111111111111",
		"5555555555554444 4111111111111112", "6304000000000000000", "DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19 4111 1111 1111 1111",
		"4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "30569309025904", "4111  1111 1111 1111", "_4111111111111111", "41111111111111110",
		"４１１１　１１１１　１１１１　１１１１", "4111\u00a01111–1111−1111", "카드4111111111111111입니다", "é4111111111111111", "4111\u200b111111111111", "4e\u0301111111111111111",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 {
			return
		}
		if got, want := holdsCard(text), slowlyHoldsCard(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	})
}

var (
	cardForm     = regexp.MustCompile(`^[0-9]+([ -][0-9]+)*$`)
	cardIssuer   = regexp.MustCompile(`^(4\d{15}(\d{3})?|5[1-5]\d{14}|(222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|(30[0-5]|309)\d{11,16}|3[689]\d{12,17}|(352[89]|35[3-8]\d|6011|5018|5020|5038|5893|6304)\d{12,15}|64[4-9]\d{13,16}|(62|65|67|81)\d{14,17})$`)
	cardBefore   = regexp.MustCompile(`([0-9A-Za-z_]|[0-9A-Za-z_]-|[0-9]\.)$`)
	cardAfter    = regexp.MustCompile(`^-?[0-9A-Za-z_]`)
	digitsBefore = regexp.MustCompile(`(?:^|[^0-9A-Za-z_])([0-9]+) $`)
	digitsAfter  = regexp.MustCompile(`^ ([0-9]+)(?:$|[^0-9A-Za-z_])`)
	cardGroups   = regexp.MustCompile(`^(\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}([ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{4,5})$`)
	amazonOrder  = regexp.MustCompile(`^\d{3}[ -]\d{7}[ -]\d{7}$`)
	fourFirst    = regexp.MustCompile(`^\d{4}([ -]|$)`)
	fourLast     = regexp.MustCompile(`(^|[ -])\d{4}$`)
	wordAtEnd    = regexp.MustCompile(`[0-9A-Za-z_]$`)
	wordAtStart  = regexp.MustCompile(`^[0-9A-Za-z_]`)
	printedIBAN  = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}( [0-9A-Z]{4})*( [0-9A-Z]{1,4})$`)
)

func slowlyHoldsCard(text string) bool {
	ascii := strings.Map(asASCII, text)
	if len(text) < minCard {
		return false
	}
	// IBANs become words of the same length.
	hidden := []byte(ascii)
	for i := range ascii {
		for j := i + 1; j <= min(len(ascii), i+34+8); j++ {
			one := ascii[i:j]
			plain := strings.ReplaceAll(one, " ", "")
			if wordAtEnd.MatchString(ascii[:i]) || wordAtStart.MatchString(ascii[j:]) ||
				!printedIBAN.MatchString(one) || len(plain) < 15 || len(plain) > 34 || mod97([]byte(plain[4:]+plain[:4])) != 1 {
				continue
			}
			for k := i; k < j; k++ {
				if hidden[k] != ' ' {
					hidden[k] = 'X'
				}
			}
			break // the shortest
		}
	}
	for i := range hidden {
		for j := i + minCard; j <= min(len(hidden), i+2*maxCard-1); j++ {
			number, before, after := string(hidden[i:j]), string(hidden[:i]), string(hidden[j:])
			if !cardForm.MatchString(number) || cardBefore.MatchString(before) || cardAfter.MatchString(after) {
				continue
			}
			digits := strings.NewReplacer(" ", "", "-", "").Replace(number)
			if amazonOrder.MatchString(number) || !cardIssuer.MatchString(digits) || !luhn([]byte(digits)) {
				continue
			}
			left, right := digitsBefore.FindStringSubmatch(before), digitsAfter.FindStringSubmatch(after)
			switch {
			case len(digits) == len(number), left == nil && right == nil:
				return true
			case !cardGroups.MatchString(number),
				left != nil && len(left[1]) == 4 && fourFirst.MatchString(number),
				right != nil && len(right[1]) == 4 && fourLast.MatchString(number):
			default:
				return true
			}
		}
	}
	return false
}
