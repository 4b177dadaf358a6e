"""Words by which names are told from other words: given names, and what makes a capitalised word no name."""

from __future__ import annotations

# Common given names of several languages that are no common word, place, month or trade name.
GIVEN = frozenset(
    """
aaron abdul abigail abraham adam adriana adrian agnes ahmed aisha akira alan albert alejandra alejandro alessandro
alexander alexandra alexandre alexis alfred alfredo ali alice alicia alina alison allison alvin amanda amelia amir amit
amy ana anand andrea andreas andrei andrew andrzej angela angelina anita anna annabelle anne annie anthony antoine
antonio anya arjun arlene arnold arthur ashley astrid audrey barbara beatrice beatriz benjamin bernadette bernard
bernd beth betty beverly birgit bjorn boris bradley brandon brenda brendan brian bridget brittany bruno bryan caitlin
camille carla carlos carmen carol caroline carolyn catherine cecilia celine chandra charles charlie chen chloe
christian christina christine christoph christopher claire clara claudia clement colin connor corinne craig cristina
crystal cynthia damien daniel daniela danielle danny darlene darren dave david deborah debra denise dennis derek
devon diana diane diego dieter dimitri dmitri dolores dominic dominique donald donna dorothy douglas duncan dylan ebony
eddie eduardo edward edwin eileen elaine eleanor elena elijah elisa elizabeth ella ellen elliot emil emilia emily emma
enrique eric erica erik erika erin ernesto esther ethan eugene eva evan evelyn fabian fatima felicia felipe felix
fernanda fernando fiona francesca francesco francis francisco francois frank franklin franz fred frederick friedrich
gabriel gabriela gary geoffrey george gerald gerard gerhard gianni gilbert giovanni giulia gloria gordon graham greg
gregory greta guillaume guillermo gunter gustavo hannah hans harold harriet harry harvey hassan heather hector heidi
heinrich heinz helen helena helga henri henrik henry herbert hiroshi howard hubert hugo ian ibrahim ignacio igor ilse
ines ingrid irene irina isaac isabel isabella isabelle ivan jackie jacob jacqueline jacques jake jakob jamal james
jamie jana jane janet janice jared jasmine jason javier jean jeff jeffrey jennifer jenny jeremy jerome jerry jesse
jessica jesus jill jim jimmy joan joanna joanne joao joe joel johan johann johanna johannes john johnny jon jonas
jonathan jorge jose josef joseph josephine joshua joyce juan juanita judith judy julia julian juliana julie julien
julio jurgen justin kaitlyn karen karim karin karl karla katarina kate katherine kathleen kathryn kathy katie katja
kayla keith kelly kenneth kenji kenny kevin khalid kimberly klaus kristen kristin kristina kumar kurt kyle lakshmi
larry latoya laura lauren laurence laurent lawrence leah lena leo leon leonard leonardo leslie leticia liam lillian
linda lindsay lisa lloyd logan lois lorenzo lorraine louis louise lucas lucia luciana luca lucy luis luisa luigi luke
lydia lynn maggie malcolm manuel manuela marc marcel marcia marco marcos marcus margaret margarita maria mariana
marianne marie mario marion marjorie markus marlene marta martha martin martina mary mateo mathieu matt matteo
matthew matthias maureen maurice maximilian megan mehmet mei melanie melissa mercedes michael michel michele
michelle miguel mihai mike mikhail mildred mina miranda miriam mitchell mohamed mohammad mohammed moira monica monika
morgan muhammad myra nadia nancy naomi natalia natalie natasha nathan nathaniel neha neil nicholas nick nicolas nicole
nigel nikhil nikolai nina noah nora norma norman oleg olga oliver olivia omar oscar oskar otto pablo pamela paolo
patricia patrick paul paula paulo pauline pavel pedro peggy peter petra philip philippe phillip phyllis pierre pierrette
pietro piotr priya rachel rafael rahul raj rajesh ralph ramon randall raphael raquel raul ravi raymond rebecca renate
renee ricardo richard rita robert roberta roberto robin rodney rodrigo roger roland ronald rosa rosemary ross roxanne
roy ruben rudolf russell ruth ryan sabine sabrina salma salvatore samantha samir samuel sandeep sandra sanjay sara
sarah satya scott sean sebastian selma serena sergei sergio shannon sharon shawn sheila sherry shirley silvia
simon simone
sofia sonia sophia sophie stacey stefan stefanie stella stephanie stephen steve steven stuart sunil suresh susan susana
suzanne sven sylvia takeshi tamara tanya tara tatiana teresa terrence thelma theodore theresa thomas tiffany tim timothy
tina todd tomas tommy tony tracy travis trevor tristan tyler ulrich ulrike ursula valentina valerie vanessa vanya vera
veronica vicki victor victoria vijay vikram vincent vincenzo virginie vivian vladimir waldemar walter wanda warren wayne
wei wendy werner wesley wilhelm william wolfgang xavier yasmin yolanda yosef yuki yusuf yvonne zachary zoe
""".split()
)

# Second words that make a given name a company, a product, a place or a thing.
NOT_SURNAME = frozenset(
    """
hardie moore deere manville williams-sonoma street st avenue ave road rd boulevard blvd drive dr lane ln way court ct
place pl parkway highway hwy beach island islands county city lake river creek park valley heights springs hills
university college school hospital church center centre institute foundation museum library airport stadium bridge
roofing roof roofs construction contracting contractors contractor builders building supply supplies homes home
materials windows siding gutters exterior exteriors company co inc llc ltd corp corporation group gmbh and sons
brothers bros services service solutions systems industries international bank insurance mutual
street's road's day week month year house edition guide award prize act law test method
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
october november december north south east west america england france germany falls
national association alliance partnership program project access technology technical assistance network council
federation department agency office board committee clinic health care information hotline clearinghouse division
bureau commission store shop warehouse depot press news magazine main line desk fax phone toll free sales
quality social security
obdyke blueskin torch underlayment membrane flashing shingle shingles shake shakes tile tiles panel panels vent vents
sealant adhesive primer caulk skylight skylights coating coatings fasteners nailer kit kits
""".split()
)

GENERIC = frozenset(
    """
all everyone everybody guys folks team there sir madam homeowner homeowners customer customers friend friends again
so for you very much in to the this that a an us me my our your his her it support sales service office customer help
emergency information info now today here professional local licensed roofing contractor contractors roofer roofers
manufacturer manager management department administrator admin insurance company agent neighbor neighbors editor
readers reader house home not also just only please what when where why how if i we they and or but no yes hi hello
reddit mods mod god lord santa mom dad owner owners tenant landlord new old first second same anyone someone nobody
mr mrs ms dr prof american german french british english spanish italian canadian mexican none unknown
anonymous n na tbd various
""".split()
)

# Given names, nicknames and handles that are also common words of the language or of a building trade.
ORDINARY = frozenset(
    """
user admin guest owner roofer builder contractor anonymous deleted editor team staff support member moderator mod bot
homeowner landlord tenant worker installer inspector estimator foreman carpenter mason plumber painter handyman
roof roofs roofing shingle shingles slate tile tiles metal steel copper tin gutter gutters flashing flashings ridge
valley rake eave eaves gable hip dormer chimney vent vents deck decking rafter rafters truss felt tar pitch slope
ladder hammer nail nails screw screws drip seam board boards wood cedar pine oak brick stone gravel sand cement concrete
leak leaks rain snow ice hail storm wind weather summit peak crest apex cap cover sheet panel panels coating sealant
house home homes building construction contracting repair repairs solar skylight insulation attic siding
epdm tpo pvc osb
mark rich grace will bill rob frank gene ray art pat may june april august hope faith joy rose ivy jack cliff drew
dean lance miles pierce chase hunter cooper taylor skip buck bud chip chuck dale glen forest gale guy heath herb
jade jay ken lane mac max nick norm olive pearl penny peg piper reed rod robin rusty sandy sky star sunny sue
summer autumn winter spring terry trip victor violet wade walker ward don earl duke king prince bishop christian
dawn destiny ginger holly hazel heather iris jasmine lily daisy melody merry amber crystal crew ruby carol dolly gay
lee pip rocky stormy woody rowan ash aspen basil clay colt dash
case page price rush short long young old new best good great little big small black white green brown gray grey red
blue gold silver one two three four five six seven eight nine ten first second last next day night week month year
time times work works working people person man men woman women boy girl kid kids friend friends family mother father
and are but for had has have her here him his how its let not now off our out own see she the their them there they
this was way were what when where which who why you your yes all also any ask back been both can come could did does
done down each even ever every few find from get give going got help him into just keep know like look made make many
maybe more most much must need never only other over part place please put really right said same say should since some
something still such sure take tell than thank thanks that then thing things think those through today too try under
until upon use used using very want water well went while with without would yet company service services local
question questions answer answers problem problems advice test tests tester dog cat fish bear wolf eagle hawk fox bird
truck car boat bike road hill river lake mountain city town country north south east west american texas florida
""".split()
)
