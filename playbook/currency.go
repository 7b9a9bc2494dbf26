package playbook

import "strings"

// The minor-unit exponents of ISO 4217 (list one, with the amendments up to
// ZWG and XCG). XTS is the standard's code for testing; it has no minor unit
// and counts as whole numbers here. Metals, funds of account without a minor
// unit and XXX are left out: nobody pays in them.
var exponents = exponentTable(map[int]string{
	0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF XTS",
	2: `AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
		CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP
		GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL
		MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN
		QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD
		TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`,
	3: "BHD IQD JOD KWD LYD OMR TND",
	4: "CLF UYW",
})

func exponentTable(lists map[int]string) map[string]int {
	table := make(map[string]int)
	for exponent, list := range lists {
		for _, code := range strings.Fields(list) {
			table[code] = exponent
		}
	}
	return table
}

// Exponent returns how many decimals a currency of ISO 4217 has: 2 for USD, 0
// for JPY, 3 for KWD; false for a code that is none.
func Exponent(currency string) (int, bool) {
	e, ok := exponents[currency]
	return e, ok
}
