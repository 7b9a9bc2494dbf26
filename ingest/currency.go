package ingest

// isCurrency says whether s has the form of an ISO 4217 code. Membership of the
// list is not asked: codes come and go, and the playbook names those it knows.
func isCurrency(s string) bool {
	return len(s) == 3 && s[0]-'A' < 26 && s[1]-'A' < 26 && s[2]-'A' < 26
}

// currencyExponent is the number of decimals of a currency's minor unit by
// ISO 4217 (list one, of active codes), 2 for every code not named here. CLDR,
// which golang.org/x/text follows, has other values for some (IQD 0): those are
// for display and not for accounts.
func currencyExponent(code string) int {
	switch code {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF",
		"UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	case "CLF", "UYW":
		return 4
	}
	return 2
}
