package rr

// MaxDigits is the most that a terminal number has (ITU-T E.164, section 6).
const MaxDigits = 15

// IsNumber tells whether a label is a terminal number: 1 to 15 digits.
func IsNumber[S ~string | ~[]byte](label S) bool {
	if len(label) == 0 || len(label) > MaxDigits {
		return false
	}
	for i := range len(label) {
		if label[i] < '0' || label[i] > '9' {
			return false
		}
	}
	return true
}

// NumberName is the name of a terminal number in the zone with this apex.
func NumberName(number string, apex Name) Name {
	return Name(string(byte(len(number))) + number + string(apex))
}

// IsNumberName tells whether n is the name of a number, or of another label.
func (n Name) IsNumberName(number string, apex Name) bool {
	return len(n) == 1+len(number)+len(apex) && int(n[0]) == len(number) &&
		EqualFold(n[1:1+len(number)], number) && EqualFold(n[1+len(number):], apex)
}

// NumberOf gives the terminal number that n is, or is below: the label next to
// the apex. own tells that n is its very name.
func (n Name) NumberOf(apex Name) (number string, own, ok bool) {
	if len(n) <= len(apex) || !n.IsBelowOrEqual(apex) {
		return "", false, false
	}
	number = n.TopLabel(apex)
	return number, len(n) == 1+len(number)+len(apex), IsNumber(number)
}
