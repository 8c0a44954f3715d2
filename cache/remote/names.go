package remote

// The limits of tags.
const (
	// MaxTags is the largest number of tags that a value may have.
	MaxTags = 128

	// MaxTagLength is the largest length of a tag, in bytes. The smallest is 1.
	MaxTagLength = 512
)

// ValidName reports whether s may stand between the colons of a remote key: whether s is
// one or more letters, digits, dots, dashes and underscores of ASCII.
func ValidName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}
