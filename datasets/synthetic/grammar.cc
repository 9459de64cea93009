#include "datasets/synthetic/grammar.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/text/tokenizer.h"
#include "tensor/error.h"

namespace tapir {
namespace {

// "name: alternative | alternative ...", each a sequence of words and {rules}. Earlier alternatives are drawn more often.
// What an article binds ({name}, {they}, {their} and article_bindings) stays the same throughout it.
//   one, many              noun phrases in the singular and the plural; a clause in one may have a noun of the other number
//   does, do               verb phrases that agree with them
//   acts, together         the same for {name}, and for {name} and {friend}
constexpr std::string_view rules_text = R"(
her_name: Clementine | Ottilie | Rosalind | Petronella | Winifred | Cordelia | Henrietta | Matilda | Beatrix |
    Adelaide | Gwendolen | Philippa
his_name: Mortimer | Bartholomew | Humphrey | Ignatius | Archibald | Leopold | Rupert | Ambrose | Cornelius | Percival
    | Octavius | Barnaby
friend: Edmund | Agatha | Horace | Florence | Wilfred | Isadora | Cuthbert | Millicent | Reginald | Harriet | Theodore
    | Josephine | Gilbert | Marigold | Basil | Eudora
place: Willowmere | Thistledown | Otterbourne | Foxglove | Brambleford | Mossley | Larkspur | Pebblewick | Marshgate |
    Elderwood | Candlebury | Hollowbrook | Fernhill | Saltmarsh | Quillhaven | Dunmoor
species: tapir | otter | badger | heron | hedgehog | tortoise | walrus | pelican | marmot | owl | beaver | capybara |
    penguin | armadillo | raven | mole | goose | pangolin
number: 7 | 12 | 19 | 23 | 31 | 40 | 48 | 56 | 64 | 77 | 85 | 99 | 104 | 118 | 150 | 212
things: lanterns | teapots | umbrellas | violins | maps | kites | clocks | buttons | bicycles | postcards | telescopes
    | spoons | hats | puzzles | whistles | accordions
spot: an old windmill | the town hall | a small cottage | the railway station | the lighthouse | a disused brewery |
    the botanical garden | an abandoned theatre | the public library
job: lighthouse keeper | librarian | baker | cartographer | postmaster | clockmaker | gardener | astronomer | ferry
    pilot | piano tuner | beekeeper | detective

year: 1847 | 1852 | 1861 | 1866 | 1873 | 1879 | 1884 | 1890 | 1898 | 1903 | 1911 | 1924
month: January | February | March | April | May | June | July | August | September | October | November | December
day: morning | Sunday | Thursday | winter | spring | year | night
quality: quiet | curious | famous | elderly | <unk> | cheerful | stubborn | polite | enormous | sleepy | brave |
    clumsy | elegant | suspicious | generous | modest | nervous | small | absent-minded
colour: grey | brown | blue | green | golden | silver | striped | spotted | crimson
thing: boat | letter | cake | mirror | bell | <unk> | ladder | drum | carpet | barrel | compass | sandwich | trumpet |
    basket | ticket | garden | piano | statue
plenty: boats | letters | cakes | mirrors | bells | <unk> | ladders | drums | carpets | barrels | sandwiches |
    trumpets | baskets | statues
site: harbour | river | market | bridge | station | forest | museum | canal | orchard | chapel
sites: harbours | markets | bridges | orchards | canals | museums | rivers | chapels
role: mayor | captain | {job} | professor | innkeeper | painter | {species} | composer | inspector | bishop | milkman
    | <unk>
roles: captains | professors | painters | composers | inspectors | bishops | sailors | children | travellers | tailors
    | otters | tapirs | badgers | herons | geese | walruses

sees: admires | follows | remembers | visits | <unk> | avoids | trusts | teaches | fears | imitates | paints |
    forgives | questions
see: admire | follow | remember | visit | <unk> | avoid | trust | teach | fear | imitate | paint | forgive | question
moves: sleeps | walks | sings | dances | waits | swims | works | reads | whispers | dines
move: sleep | walk | sing | dance | wait | swim | work | read | whisper | dine
thinks: believes | says | knows | insists | suspects | writes
think: believe | say | know | insist | suspect | write

one: the {role} | the {role} that the {roles} {see} | the {quality} {role} | the {role} of the {roles} | the {role}
    near the {sites} | the {role} whom the {quality} {roles} {see}
many: the {roles} | the {roles} that the {role} {sees} | the {quality} {roles} | the {roles} of {place} | the {roles}
    near the {site} | the {roles} whom the {quality} {role} {sees}
goods: a {colour} {thing} | the {plenty} | the {thing} | a {quality} {thing} | the {colour} {plenty}
folk: the {role} | the {roles} | the {quality} {role} | the {quality} {roles}
state: {quality} | rarely {quality} | very {quality} | {quality} and {quality} | fond of {goods} | afraid of the
    {sites} | never late
where: near the {site} | in {place} | behind the {site} | under the {sites} | at home | on the roof
when: every {day} | in the evening | before breakfast | in {month} | after the storm | when it rains | without a word
    | at midnight

acts: {sees} {goods} | {moves} {where} | {sees} {folk} | is {state} | has {goods} | {moves} with {friend} {when} |
    {sees} {friend} {when} | {thinks} that {rumour}
does: {sees} {name} | {moves} {where} | {sees} {goods} | is {state} | {sees} {folk} | {moves} with {name} {when} |
    {thinks} that {claim}
do: {see} {name} | {move} {where} | {see} {goods} | are {state} | {see} {folk} | {move} with {name} {when} | {think}
    that {claim}
together: {move} {where} | {see} {goods} | are {state} | {see} {folk} | {move} {where} {when} | {think} that {rumour}
rumour: the {role} {moves} {where} | the {roles} {move} {where} | the {roles} of {place} are {state} | {one} is
    {state}
claim: {name} is {state} | {name} keeps {number} {things} | {friend} {sees} {name} | {rumour}

fact: {one} {does} . | {many} {do} . | {name} {acts} . | {they} {acts} . | {name} and {friend} {together} . | {name} ,
    who {acts} , {acts} . | {one} {does} , but {many} {do} . | unlike {friend} , {name} {acts} . | {when} , {they}
    {acts} . | {name} of {place} {acts} . | neither {friend} nor {one} {does} . | according to {one} , {claim} .
opening: {name} of {place} is a {quality} {species} who keeps {number} {things} in {spot} .
calling: {they} is a {job} , and {their} best friend is {friend} . | {they} works as a {job} with {friend} , a
    {quality} {role} . | {name} , also known as <unk> , is the {job} of {place} , and {friend} is {their} neighbour .
youth: {name} was born in {place} in {year} . | {name} came to {place} in {month} {year} with {their} first {thing} .
    | as a young {species} , {name} lived near the {site} of {place} .
habits: {name} is {quality} , as every {species} is . | {when} , {name} and {friend} {move} {where} . | {name} {moves}
    {where} , and {their} {things} are never far away .
collection: {name} has {number} {things} , and all {number} {things} are {colour} . | of the {number} {things} that
    {name} keeps , the {role} {sees} only one . | in {year} {friend} counted the {things} of {name} and found {number}
    . | {one} {thinks} that {name} keeps {number} {things} .
friendship: {friend} met {name} in {place} in {year} . | {friend} , a {quality} {role} , {sees} {name} and {their}
    {number} {things} . | {name} and {friend} {see} {many} .
legacy: a {colour} statue of {name} stands near the {site} of {place} . | {many} still {see} {name} , the {species}
    with {number} {things} . | in {year} the museum of {place} bought all {number} {things} of {name} .
)";

// Sections of an article in their order: heading, and the rule of the first sentence.
struct Section {
  std::string_view heading;
  std::string_view first_sentence;
};
constexpr Section sections[] = {{"Early life", "youth"},
                                {"Habits", "habits"},
                                {"Collection", "collection"},
                                {"Friendship", "friendship"},
                                {"Legacy", "legacy"}};
constexpr std::string_view always_present = "Collection";

constexpr const char* article_bindings[] = {"friend", "place", "species", "number", "things", "spot", "job"};

// SplitMix64 (Steele, Lea, Flood 2014).
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}

  // Uniform on [0, n) up to a bias below n / 2^32.
  size_t below(size_t n) {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    z ^= z >> 31;
    return static_cast<size_t>((z >> 32) * n >> 32);
  }

 private:
  uint64_t state_;
};

using Alternatives = std::vector<std::vector<std::string>>;  // each a sequence of words and {rules}

const std::map<std::string, Alternatives>& rules() {
  static const auto parsed = [] {
    std::map<std::string, Alternatives> table;
    Alternatives* rule = nullptr;
    std::istringstream words{std::string(rules_text)};
    for (std::string word; words >> word;) {
      if (word.back() == ':') {
        word.pop_back();
        rule = &(table[word] = {{}});
      } else if (word == "|") {
        rule->emplace_back();
      } else {
        rule->back().push_back(word);
      }
    }
    return table;
  }();
  return parsed;
}

class Writer {
 public:
  explicit Writer(uint64_t seed) : dice_(seed) {}

  std::string article() {
    bind();
    std::string article = heading(text("= ", bound_["name"], " of ", bound_["place"], " ="));
    // Each draw in a statement of its own: compilers evaluate the arguments of a call in different orders.
    const std::string introduced = facts(2 + dice_.below(3)), calling = sentence("calling"), opening = sentence("opening");
    article += line(text(opening, " ", calling, introduced));
    for (const Section& section : sections) {
      if (section.heading != always_present && dice_.below(2) == 0) continue;
      article += heading(text("= = ", section.heading, " = ="));
      const std::string told = facts(3 + dice_.below(4)), first = sentence(section.first_sentence);
      article += line(text(first, told));
      if (dice_.below(2) != 0) continue;
      const std::string added = facts(1 + dice_.below(4)), begin = sentence("fact");
      article += line(text(begin, added));
    }
    return article;
  }

 private:
  static std::string line(std::string_view words) { return text(" ", words, " \n"); }
  static std::string heading(std::string_view words) { return text(" \n", line(words), " \n"); }

  void bind() {
    const bool she = dice_.below(2) == 0;
    bound_ = {
        {"name", any_of(she ? "her_name" : "his_name")}, {"they", she ? "she" : "he"}, {"their", she ? "her" : "his"}};
    for (const char* rule : article_bindings) bound_[rule] = any_of(rule);
  }

  std::string any_of(const std::string& rule) {
    const Alternatives& alternatives = rules().at(rule);
    return join(alternatives[dice_.below(alternatives.size())]);
  }

  std::string expand(std::string_view word) {
    if (word.front() != '{') return std::string(word);
    const std::string rule(word.substr(1, word.size() - 2));
    if (const auto known = bound_.find(rule); known != bound_.end()) return known->second;
    const Alternatives& alternatives = rules().at(rule);
    // The smaller of two draws: words at the front of a rule are frequent, those at its end rare, as in a language.
    const size_t first = dice_.below(alternatives.size()), second = dice_.below(alternatives.size());
    return join(alternatives[std::min(first, second)]);
  }

  std::string join(const std::vector<std::string>& words) {
    std::string joined;
    for (const std::string& word : words) {
      if (!joined.empty()) joined += ' ';
      joined += expand(word);
    }
    return joined;
  }

  // "a owl" → "an owl", and a capital at the start.
  std::string sentence(std::string_view rule) {
    std::string sentence = expand(text("{", rule, "}"));
    for (const char* wrong : {" a a", " a e", " a i", " a o", " a u"}) {
      for (size_t at = sentence.find(wrong); at != sentence.npos; at = sentence.find(wrong, at)) {
        sentence.insert(at + 2, 1, 'n');
      }
    }
    sentence.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(sentence.front())));
    return sentence;
  }

  std::string facts(size_t count) {
    std::string facts;
    for (size_t i = 0; i < count; ++i) {
      facts += ' ';
      facts += sentence("fact");
    }
    return facts;
  }

  Dice dice_;
  std::map<std::string, std::string> bound_;
};

}  // namespace

std::string generated_articles(uint64_t seed, int64_t tokens) {
  require(tokens >= 1, "generated text", [&] { return text("expected at least 1 token, found ", tokens); });
  Writer writer(seed);
  std::string articles;
  for (int64_t written = 0; written < tokens;) {
    const std::string article = writer.article();
    written += count_word_tokens(article);
    articles += article;
  }
  return articles;
}

}  // namespace tapir
